//! The refusals that servers and poolers are known for, in their own words.

use db::ConnectFailure::{
    self, Authentication, BrokenOff, ClientCertificateRejected, ClientCertificateRequired,
    NotReady, OutOfResources, Rejected, StartupParameter, TimedOut, TooManyConnections,
    UnknownDatabase,
};

use crate::{Instead, Moment};

/// A refusal, and what an error should say about it.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// What a client gets.
    pub instead: Instead,
    /// What a failure to connect is called, if that is when the refusal may come.
    pub at_start: Option<ConnectFailure>,
    /// What is known of a statement, if the refusal may be the answer to one.
    pub later: Option<Later>,
}

/// What a refusal says of a statement that it is the answer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Later {
    /// No server has seen it.
    NeverSent,
    /// A server may have carried it out.
    InDoubt,
}

impl Refusal {
    /// When it may come.
    pub fn moments(&self) -> &'static [Moment] {
        match (self.at_start, self.later) {
            (Some(_), None) => &[Moment::StartUp],
            (Some(_), Some(Later::NeverSent)) => &[Moment::StartUp, Moment::Question],
            (Some(_), Some(Later::InDoubt)) => &[Moment::StartUp, Moment::Question, Moment::Answer],
            (None, Some(Later::NeverSent)) => &[Moment::Question],
            (None, _) => &[Moment::Question, Moment::Answer],
        }
    }

    /// Whether another attempt may succeed.
    pub fn passes(&self) -> bool {
        self.at_start.is_none_or(ConnectFailure::is_transient)
    }

    /// The same with the severity of a statement that has failed.
    const fn as_error(self) -> Self {
        let instead = match self.instead {
            Instead::Error { code, text, .. } => Instead::Error {
                is_fatal: false,
                code,
                text,
            },
            other => other,
        };
        Self { instead, ..self }
    }
}

const fn broken(instead: Instead, at_start: ConnectFailure) -> Refusal {
    Refusal {
        instead,
        at_start: Some(at_start),
        later: Some(Later::InDoubt),
    }
}

/// To a client that asks for a connection.
const fn at_start(failure: ConnectFailure, code: &'static str, text: &'static str) -> Refusal {
    Refusal {
        instead: Instead::Error {
            is_fatal: true,
            code,
            text,
        },
        at_start: Some(failure),
        later: None,
    }
}

/// As the answer to a statement that a server may have seen.
const fn under_way(code: &'static str, text: &'static str) -> Refusal {
    Refusal {
        at_start: None,
        ..any_time(BrokenOff, code, text)
    }
}

/// At any time.
const fn any_time(failure: ConnectFailure, code: &'static str, text: &'static str) -> Refusal {
    Refusal {
        later: Some(Later::InDoubt),
        ..at_start(failure, code, text)
    }
}

/// As the answer to a statement that no server has seen.
const fn unsent(code: &'static str, text: &'static str) -> Refusal {
    Refusal {
        at_start: None,
        ..waiting(BrokenOff, code, text)
    }
}

/// While a pooler looks for a server, at start-up or for a statement.
const fn waiting(failure: ConnectFailure, code: &'static str, text: &'static str) -> Refusal {
    Refusal {
        later: Some(Later::NeverSent),
        ..at_start(failure, code, text)
    }
}

/// The refusals of servers and poolers, by whose they are: PgBouncer's up to 1.25, those of Odyssey,
/// PgCat, PgDog and Supavisor as their sources of 2026 have them, those of Neon's proxy and of RDS
/// Proxy as their documents do.
pub const REFUSALS: &[Refusal] = &[
    // The network.
    broken(Instead::Cut, BrokenOff),
    broken(Instead::Reset, BrokenOff),
    broken(Instead::Half, BrokenOff),
    broken(Instead::Silence, TimedOut),
    // PostgreSQL.
    any_time(
        NotReady,
        "57P01",
        "terminating connection due to administrator command",
    ),
    any_time(
        NotReady,
        "57P02",
        "terminating connection because of crash of another server process",
    ),
    at_start(NotReady, "57P03", "the database system is starting up"),
    at_start(NotReady, "57P03", "the database system is shutting down"),
    at_start(NotReady, "57P03", "the database system is in recovery mode"),
    at_start(
        TooManyConnections,
        "53300",
        "sorry, too many clients already",
    ),
    at_start(OutOfResources, "53200", "out of memory"),
    at_start(
        OutOfResources,
        "53100",
        "could not write init file: No space left on device",
    ),
    at_start(TimedOut, "57014", "canceling authentication due to timeout"),
    at_start(
        Authentication,
        "28000",
        "no pg_hba.conf entry for host \"10.0.0.1\"",
    ),
    at_start(
        Authentication,
        "28P01",
        "password authentication failed for user \"app\"",
    ),
    at_start(
        UnknownDatabase,
        "3D000",
        "database \"agents\" does not exist",
    ),
    at_start(
        Rejected,
        "42501",
        "permission denied for database \"agents\"",
    ),
    // The coordinator of a cluster, of a worker.
    under_way(
        "08006",
        "connection to the remote node localhost:9701 failed with the following error",
    )
    .as_error(),
    under_way(
        "57P01",
        "terminating connection due to administrator command",
    )
    .as_error(),
    under_way("40003", "result is ambiguous").as_error(),
    under_way("08007", "transaction resolution unknown").as_error(),
    // PgBouncer.
    at_start(
        TooManyConnections,
        "08P01",
        "no more connections allowed (max_client_conn)",
    ),
    at_start(
        TooManyConnections,
        "08P01",
        "client connections exceeded (max_db_client_connections)",
    ),
    at_start(
        TooManyConnections,
        "08P01",
        "client connections exceeded (max_user_client_connections)",
    ),
    at_start(BrokenOff, "08P01", "client_login_timeout"),
    at_start(NotReady, "08P01", "pooler is shutting down"),
    at_start(NotReady, "08P01", "pgbouncer cannot connect to server"),
    at_start(NotReady, "08P01", "database \"agents\" is disabled"),
    at_start(
        NotReady,
        "08P01",
        "database does not allow connections: agents",
    ),
    at_start(OutOfResources, "08P01", "bouncer resources exhaustion"),
    at_start(OutOfResources, "08P01", "no memory for pool"),
    waiting(NotReady, "08P01", "client_login_timeout (server down)"),
    waiting(NotReady, "08P01", "server shutting down"),
    waiting(
        NotReady,
        "08P01",
        "server login has been failing, cached error: connect failed (server_login_retry)",
    ),
    waiting(
        NotReady,
        "08P01",
        "server login has been failing, try again later (server_login_retry)",
    ),
    unsent("08P01", "query_wait_timeout"),
    unsent("08P01", "prepared statement did not exist"),
    under_way("08P01", "server conn crashed?"),
    under_way("08P01", "query_timeout"),
    under_way("08P01", "client_idle_timeout"),
    under_way("08P01", "admin forced disconnect"),
    at_start(Authentication, "08P01", "no such user: app"),
    at_start(Authentication, "08P01", "Auth failed"),
    at_start(Authentication, "08P01", "SASL authentication failed"),
    at_start(Authentication, "08P01", "login rejected"),
    at_start(
        Authentication,
        "08P01",
        "server login failed: wrong password type",
    ),
    at_start(UnknownDatabase, "08P01", "no such database: agents"),
    at_start(Rejected, "08P01", "SSL required"),
    at_start(
        ClientCertificateRequired,
        "08P01",
        "TLS client certificate required",
    ),
    at_start(
        ClientCertificateRejected,
        "08P01",
        "TLS certificate name mismatch",
    ),
    at_start(Rejected, "08P01", "bouncer config error"),
    at_start(
        StartupParameter,
        "08P01",
        "unsupported startup parameter: options",
    ),
    at_start(
        StartupParameter,
        "08P01",
        "unsupported startup parameter in options: jit",
    ),
    at_start(
        StartupParameter,
        "08P01",
        "unsupported options startup parameter: only '-c config=val' is allowed",
    ),
    // PgCat.
    at_start(
        NotReady,
        "58000",
        "terminating connection due to administrator command",
    ),
    at_start(
        NotReady,
        "58000",
        "Pool down for database: \"agents\", user: \"app\"",
    ),
    at_start(
        UnknownDatabase,
        "58000",
        "No pool configured for database: \"agents\", user: \"app\"",
    ),
    unsent(
        "58000",
        "could not get connection from the pool - AllServersDown",
    ),
    unsent("58000", "prepared statement \"s1\" does not exist"),
    under_way(
        "58000",
        "error receiving data from server: SocketError(\"Error reading message code\")",
    ),
    under_way("58000", "pool statement timeout"),
    // PgDog.
    waiting(
        NotReady,
        "58000",
        "connection pool for user \"app\" and database \"agents\" is down",
    )
    .as_error(),
    at_start(NotReady, "57P01", "PgDog is shutting down"),
    at_start(TimedOut, "57P05", "client login timeout"),
    at_start(
        Authentication,
        "28000",
        "password for user \"app\" and database \"agents\" is wrong, or the database does not exist",
    ),
    at_start(Rejected, "08004", "only TLS connections are allowed"),
    unsent("58000", "checkout timeout").as_error(),
    unsent("58000", "all replicas down").as_error(),
    unsent("58000", "pool is shut down").as_error(),
    under_way("58000", "server closed"),
    // Odyssey.
    at_start(
        TooManyConnections,
        "53300",
        "odyssey: c1: too many tcp connections (global client_max 100)",
    ),
    waiting(
        BrokenOff,
        "08006",
        "odyssey: c1: failed to get remote server connection",
    ),
    waiting(
        BrokenOff,
        "08006",
        "odyssey: c1: failed to connect to remote server s1",
    ),
    waiting(
        TooManyConnections,
        "53300",
        "odyssey: c1: too many active clients for user (pool_size for user agents.app reached 10)",
    ),
    any_time(
        NotReady,
        "08006",
        "odyssey: c1: Odyssey is gracefully shutting down",
    ),
    under_way("08006", "odyssey: c1: Odyssey has dropped the connection"),
    under_way("08006", "odyssey: c1: remote server read/write error s1").as_error(),
    at_start(NotReady, "58000", "odyssey: c1: client routing failed").as_error(),
    at_start(NotReady, "28000", "odyssey: c1: failed to make auth query").as_error(),
    at_start(
        UnknownDatabase,
        "3D000",
        "odyssey: c1: route for 'agents.app' is not found",
    )
    .as_error(),
    at_start(Authentication, "28P01", "odyssey: c1: incorrect user").as_error(),
    at_start(Rejected, "08P01", "odyssey: c1: SSL is required").as_error(),
    // Supavisor.
    at_start(
        TooManyConnections,
        "XX000",
        "MaxClientsInSessionMode: max clients reached",
    ),
    at_start(
        TooManyConnections,
        "XX000",
        "(EMAXCONN) max client connections reached, limit: 200",
    ),
    at_start(
        TooManyConnections,
        "XX000",
        "(EMAXPOOLSREACHED) max pools count reached",
    ),
    waiting(
        TooManyConnections,
        "XX000",
        "(ECHECKOUTTIMEOUT) unable to check out connection from the pool after 60000ms",
    ),
    waiting(
        NotReady,
        "XX000",
        "(ECHECKOUTRETRIES) failed to check out a connection after multiple retries",
    ),
    at_start(
        NotReady,
        "XX000",
        "(ECIRCUITBREAKER) too many authentication failures, new connections are temporarily \
         blocked",
    ),
    at_start(
        NotReady,
        "XX000",
        "(EAUTHQUERY) authentication query failed: connection to database not available",
    ),
    at_start(
        NotReady,
        "XX000",
        "(EWORKERNOTFOUND) worker processes (manager/pool) not found for tenant \"a\"",
    ),
    any_time(
        NotReady,
        "XX000",
        "(EDBHANDLEREXITED) DbHandler exited. Check logs for more information",
    ),
    at_start(BrokenOff, "08006", "(EAUTHTIMEOUT) timeout while waiting"),
    at_start(Authentication, "XX000", "Tenant or user not found"),
    at_start(
        Authentication,
        "XX000",
        "(ENOTFOUND) tenant/user app.agents not found",
    ),
    at_start(Rejected, "XX000", "(EBANNED) tenant is banned: unpaid"),
    at_start(
        Rejected,
        "XX000",
        "(ESSLREQUIRED) SSL connection is required for user: app",
    ),
    // Neon's proxy, which gives what its servers say its own code.
    at_start(NotReady, "XX000", "Couldn't connect to compute node").as_error(),
    at_start(NotReady, "XX000", "Control plane request failed").as_error(),
    at_start(
        NotReady,
        "XX000",
        "Control plane request failed: endpoint is temporarily unavailable.",
    )
    .as_error(),
    at_start(NotReady, "XX000", "the database system is starting up").as_error(),
    at_start(TooManyConnections, "XX000", "Too many connections attempts").as_error(),
    at_start(
        TooManyConnections,
        "XX000",
        "Failed to acquire permit to connect to the database.",
    )
    .as_error(),
    at_start(
        Authentication,
        "XX000",
        "password authentication failed for user 'app'",
    )
    .as_error(),
    at_start(
        UnknownDatabase,
        "XX000",
        "Control plane request failed: endpoint cannot be found",
    )
    .as_error(),
    at_start(
        Rejected,
        "XX000",
        "connection is insecure (try using `sslmode=require`)",
    )
    .as_error(),
    at_start(
        Rejected,
        "XX000",
        "Your account or project has exceeded the compute time quota.",
    )
    .as_error(),
    // RDS Proxy.
    waiting(
        TooManyConnections,
        "08000",
        "Timed-out waiting to acquire database connection",
    ),
    at_start(
        TooManyConnections,
        "28000",
        "The IAM authentication failed because of too many competing requests.",
    ),
    at_start(
        TooManyConnections,
        "08000",
        "The maximum number of client connections to the proxy exceeded 100.",
    ),
    at_start(
        TooManyConnections,
        "08000",
        "Rate of connection to proxy exceeded 100.",
    ),
    at_start(
        Authentication,
        "28000",
        "This RDS proxy has no credentials for the role app.",
    ),
    at_start(Rejected, "28000", "This RDS Proxy requires TLS connections"),
    at_start(
        StartupParameter,
        "0A000",
        "Feature not supported: RDS Proxy currently doesn't support command-line options.",
    ),
    // Pgpool-II.
    at_start(
        NotReady,
        "XX000",
        "pgpool is not accepting any new connections",
    ),
];
