//! What a pooler's own errors mean.
//!
//! Most poolers give all that they say one code: PgBouncer 08P01, PgCat and PgDog 58000, Supavisor
//! and Neon's proxy XX000. Some give it to what they pass on from a server as well. So their texts
//! decide, which they don't translate.

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::connect_failure::ConnectFailure::{
    self, Authentication, ClientCertificateRejected, ClientCertificateRequired, NotReady,
    OutOfResources, Rejected, StartupParameter, TooManyConnections, UnknownDatabase,
};

/// Texts, each in parts: all of them are in the message, in lower case.
type Texts = &'static [&'static [&'static str]];

/// What a pooler, or a server behind it, says to a client that it turns away, and what that means.
/// The first entry that fits decides.
const REFUSALS: &[(ConnectFailure, Texts)] = &[
    (
        StartupParameter,
        &[
            &["unsupported startup parameter"],
            &["unsupported options startup parameter"],
            &["rds proxy", "doesn't support"],
        ],
    ),
    // These sound like what is final.
    (
        TooManyConnections,
        &[
            &["too many competing requests"],
            &["conflicting operations"],
        ],
    ),
    (
        NotReady,
        &[
            &["temporarily blocked"],
            &["authentication query failed"],
            &["failed to make auth query"],
            &["auth_query", "failed"],
            &["auth_query", "timed out"],
            &["authentication secrets"],
        ],
    ),
    (
        Authentication,
        &[
            &["authentication failed"],
            &["auth failed"],
            &["no such user"],
            &["login rejected"],
            &["pg_hba.conf"],
            &["role \"", "does not exist"],
            &["is not permitted to log in"],
            &["wrong password"],
            &["empty password"],
            &["password", "is wrong"],
            &["no credentials for the role"],
            &["tenant or user not found"],
            &["tenant/user", "not found"],
            &["user not found in the database"],
            &["multiple users matched"],
            &["no tenant identifier"],
            &["endpoint id is not specified"],
            &["invalid format for user"],
        ],
    ),
    (
        UnknownDatabase,
        &[
            &["no such database"],
            &["no such user/database"],
            &["database \"", "does not exist"],
            &["no pool configured"],
            &["endpoint cannot be found"],
        ],
    ),
    (
        ClientCertificateRequired,
        &[&["tls client certificate required"]],
    ),
    (
        ClientCertificateRejected,
        &[&["tls certificate name mismatch"]],
    ),
    (
        Rejected,
        &[
            &["ssl required"],
            &["ssl is required"],
            &["ssl connection is required"],
            &["only with ssl connections"],
            &["tls connection required"],
            &["requires tls"],
            &["only tls connections"],
            &["must connect with tls"],
            &["connection is insecure"],
            &["is not allowed to connect"],
            &["allow_list"],
            &["tenant is banned"],
            &["endpoint is disabled"],
            &["bouncer config error"],
            &["no authentication method"],
            &["protocol not supported"],
        ],
    ),
    (
        TooManyConnections,
        &[
            &["no more connections allowed"],
            &["client connections exceeded"],
            &["too many"],
            &["connection slots are reserved"],
            &["max clients"],
            &["max client connections"],
            &["max pools"],
            &["unable to check out connection"],
            &["maximum number of client connections"],
            &["rate of connection"],
            &["failed to acquire permit"],
            &["waiting to acquire database connection"],
            &["checkout timeout"],
        ],
    ),
    (
        OutOfResources,
        &[
            &["resources exhaustion"],
            &["no memory for"],
            &["out of memory"],
        ],
    ),
    (
        NotReady,
        &[
            &["server login has been failing"],
            &["the database system is"],
            &["shutting down"],
            &["server down"],
            &["cannot connect to server"],
            &["database \"", "is disabled"],
            &["database does not allow connections"],
            &["pool down"],
            &["connection pool for user", "is down"],
            &["could not get connection from the pool"],
            &["due to administrator command"],
            &["pool is shut down"],
            &["pool is banned"],
            &["pool is not healthy"],
            &["no primary"],
            &["all replicas down"],
            &["cluster start timeout"],
            &["client routing failed"],
            &["couldn't connect to compute node"],
            &["control plane request failed"],
            &["failed to subscribe to tenant"],
            &["not found for tenant"],
            &["proxy supervisor unavailable"],
            &["failed to start proxy connection"],
            &["pool terminating"],
            &["pool checkout failed"],
            &["failed to check out a connection"],
            &["dbhandler exited"],
            &["connection to database closed"],
            &["all backend nodes are down"],
            &["not accepting any"],
        ],
    ),
];

/// What a pooler says that gave up on a statement before it had sent it to any server, because
/// none was free or could be reached, or because it doesn't know the prepared statement: it was
/// deallocated by `DEALLOCATE ALL` or `DISCARD ALL`, for example.
const NEVER_SENT: &[(&str, Texts)] = &[
    (
        "08P01",
        &[
            &["query_wait_timeout"],
            &["server login has been failing"],
            &["server shutting down"],
            &["client_login_timeout (server down)"],
            &["prepared statement did not exist"],
        ],
    ),
    (
        "08006",
        &[
            &["failed to connect to remote server"],
            &["failed to get remote server connection"],
        ],
    ),
    ("53300", &[&["too many active clients for user"]]),
    ("08000", &[&["waiting to acquire database connection"]]),
    (
        "58000",
        &[
            &["could not get connection from the pool"],
            &["prepared statement \"", "does not exist"],
            &["connection pool for user", "is down"],
            &["checkout timeout"],
            &["all replicas down"],
            &["no primary"],
            &["pool is shut down"],
            &["pool is banned"],
            &["pool is not healthy"],
        ],
    ),
    (
        "XX000",
        &[
            &["unable to check out connection"],
            &["failed to check out a connection"],
        ],
    ),
];

/// Why a pooler, or the server behind it, turned a connection away.
pub(crate) fn connect_failure(code: &SqlState, text: &str) -> Option<ConnectFailure> {
    let is_a_poolers = match code.code() {
        "0A000" | "28000" | "58000" | "XX000" => true,
        code => code.starts_with("08"),
    };
    if !is_a_poolers {
        return None;
    }
    let text = text.to_ascii_lowercase();
    let mut refusals = REFUSALS.iter();
    refusals.find_map(|(failure, texts)| says(&text, texts).then_some(*failure))
}

/// Whether a pooler gave up on a statement that it hadn't sent to any server yet.
pub(crate) fn was_never_sent(error: &DbError) -> bool {
    let text = error.message().to_ascii_lowercase();
    let mut entries = NEVER_SENT.iter();
    entries.any(|(code, texts)| *code == error.code().code() && says(&text, texts))
}

/// Whether all parts of one of the texts are in a message.
fn says(message: &str, texts: Texts) -> bool {
    let mut texts = texts.iter();
    texts.any(|parts| parts.iter().all(|part| message.contains(part)))
}

/// Whether the connection doesn't survive the error.
pub(crate) fn is_fatal(error: &DbError) -> bool {
    match error.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        // A pooler leaves out the one that is never translated.
        None => matches!(error.severity(), "FATAL" | "PANIC"),
    }
}
