//! What went wrong between a program and its database.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::io;
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::error::{DbError, SqlState};

use crate::connect_failure::ConnectFailure;
use crate::refusal::Refusal;
use crate::{TlsFileProblem, verdict};

/// A result whose error is [`Error`], unless another is named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong between this program and its database.
///
/// `Display` says what failed; [`source`](StdError::source) says why. Neither holds a password or a
/// statement's parameters, though what the server says about a failed statement may quote a row.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection to the server could be made.
    #[error("failed to connect to `{target}`: {failure} (tried for {tried:.1?})")]
    #[non_exhaustive]
    Connect {
        /// `host:port/dbname`.
        target: String,
        /// The kind of failure.
        failure: ConnectFailure,
        /// For how long it was tried.
        tried: Duration,
        /// What the operating system, the server or the driver said.
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// A file that TLS is set up from can't be used.
    #[error("`{variable}`: `{}` {problem}", path.display())]
    #[non_exhaustive]
    TlsFile {
        /// The variable that names it, or would: it may be in the URL.
        variable: &'static str,
        /// The file, or `system`.
        path: PathBuf,
        /// What is wrong with it.
        problem: TlsFileProblem,
        /// What the operating system said.
        source: Option<io::Error>,
    },
    /// All connections were in use, and none was returned in time.
    #[error(
        "no connection became free within {waited:.1?}: {in_use} of {max} are in use{}",
        held(*by_caller)
    )]
    #[non_exhaustive]
    AcquireTimeout {
        /// How many were in use.
        in_use: u32,
        /// How many of them the same task had acquired, which so waits for itself: it asks for
        /// another connection within a transaction, for example.
        by_caller: u32,
        /// How many the pool may open.
        max: u32,
        /// How long it waited.
        waited: Duration,
    },
    /// The pool had room for a connection, and couldn't open one.
    #[error("no connection could be opened within {waited:.1?}")]
    #[non_exhaustive]
    Unreachable {
        /// How long it waited.
        waited: Duration,
        /// Why the last attempt failed.
        source: Arc<Error>,
    },
    /// The pool had room for a connection, and was still opening one.
    #[error("no connection was open within {waited:.1?}: the server hasn't answered so far")]
    #[non_exhaustive]
    Connecting {
        /// How long it waited.
        waited: Duration,
    },
    /// The database was closed.
    #[error("the database is closed; `init_db` or `Database::connect` opens it again")]
    Closed,
    /// The runtime in which the database was connected has ended, and its connections with it.
    #[error(
        "the runtime in which the database was connected has ended; connect in one that lasts as \
         long as the handle is used"
    )]
    RuntimeEnded,
    /// Connections were still in use at the deadline of a close.
    #[error("closed with {in_use} still in use after {waited:.1?}")]
    #[non_exhaustive]
    StillInUse {
        /// How many.
        in_use: usize,
        /// The deadline.
        waited: Duration,
    },
    /// Something that depends on the database failed to finish its work before the close.
    #[error("closed, but something that depends on the database could not finish its work")]
    #[non_exhaustive]
    Unfinished {
        /// How many connections were still in use at the deadline.
        in_use: usize,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
        /// The failures of others.
        others: Vec<Box<dyn StdError + Send + Sync>>,
    },
    /// No schema can have this name: the server keeps `pg_` for itself, and cuts off a longer name.
    #[error(
        "no schema can be named {schema:?}: expected {}",
        settings::SCHEMA_NAME
    )]
    #[non_exhaustive]
    SchemaName {
        /// The name.
        schema: String,
    },
    /// `get_connection` was called before `init_db`.
    #[error("the database is not initialised; call `init_db` first")]
    NotInitialised,
    /// `init_db` was called while a database is open, opening or closing.
    #[error("the database is already initialised; call `close_db` before another `init_db`")]
    AlreadyInitialised,
    /// The server rejected a statement, or a parameter didn't fit it.
    #[error("`{statement}` failed{}", verdict::reason(source))]
    #[non_exhaustive]
    Query {
        /// The statement's name.
        statement: String,
        /// What the server or the driver said.
        source: tokio_postgres::Error,
    },
    /// A prepared statement wasn't where it was prepared, as when a pooler has given the connection
    /// to another client.
    #[error(
        "`{statement}` isn't prepared as it was left; behind a pooler set DB_POOL_MODE=transaction"
    )]
    #[non_exhaustive]
    NotPrepared {
        /// The statement's name.
        statement: String,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// A statement was called with more or fewer parameters than it has types.
    #[error("`{statement}` was given {given} parameters instead of {expected}")]
    #[non_exhaustive]
    ParameterCount {
        /// The statement's name.
        statement: String,
        /// How many types it was made with.
        expected: usize,
        /// How many values it was called with.
        given: usize,
    },
    /// A statement returned more or fewer rows than its caller can take.
    #[error("`{statement}` returned {rows} rows where {expected} was expected")]
    #[non_exhaustive]
    RowCount {
        /// The statement's name.
        statement: String,
        /// `one` or `at most one`.
        expected: &'static str,
        /// How many came.
        rows: usize,
    },
    /// A statement ran longer than `DB_STATEMENT_TIMEOUT` and was cancelled.
    #[error(
        "`{statement}` was cancelled after {limit:.1?}: no longer is allowed by DB_STATEMENT_TIMEOUT"
    )]
    #[non_exhaustive]
    StatementTimeout {
        /// The statement's name.
        statement: String,
        /// The configured limit.
        limit: Duration,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// The connection was lost before a statement could take effect.
    #[error("the connection was lost before `{statement}` could take effect")]
    ConnectionLost {
        /// The statement's name.
        statement: String,
        /// Why, if it is known.
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },
    /// The connection was lost while the server may have been carrying out a statement or a commit,
    /// or the server itself doesn't know what became of it: it had asked another server.
    #[error(
        "{} `{statement}`; whether it took effect is unknown",
        verdict::unknown_because(source.as_deref())
    )]
    OutcomeUnknown {
        /// The statement's name, or `COMMIT`.
        statement: String,
        /// Why, if it is known.
        source: Option<Arc<dyn StdError + Send + Sync>>,
    },
    /// A transaction's body returned `Ok` after one of its statements had failed: everything was
    /// rolled back.
    #[error("a statement of the transaction failed, so it was rolled back")]
    #[non_exhaustive]
    TransactionFailed {
        /// What the server said to the commit.
        source: tokio_postgres::Error,
    },
    /// A transaction's body ended it with SQL of its own: what ran before may be committed or not,
    /// and what ran after was not part of it.
    #[error("the transaction was ended by a statement in its own body")]
    #[non_exhaustive]
    TransactionEnded {
        /// What the server said to the commit.
        source: tokio_postgres::Error,
    },
    /// A migration failed; none of those that were missing is applied.
    #[error("migration {number} `{name}` of `{set}` failed")]
    #[non_exhaustive]
    Migration {
        /// The set.
        set: &'static str,
        /// The migration's number.
        number: i32,
        /// The migration's name.
        name: &'static str,
        /// Why.
        source: Box<Error>,
    },
    /// The role may not apply the migrations that are missing: it lacks a privilege, or its
    /// transactions are read-only.
    #[error(
        "the role may not apply the migrations of `{set}`: let another role apply \
         `Migrations::sql`, and only verify them with this one"
    )]
    #[non_exhaustive]
    MigrationDenied {
        /// The set.
        set: &'static str,
        /// What failed.
        source: Box<Error>,
    },
    /// A migration was changed after it was applied.
    #[error("migration {number} `{name}` of `{set}` is not the one that was applied")]
    #[non_exhaustive]
    MigrationChanged {
        /// The set.
        set: &'static str,
        /// The migration's number.
        number: i32,
        /// The migration's name.
        name: &'static str,
    },
    /// The version table lacks a migration before the last one it lists.
    #[error("migration {number} of `{set}` is missing from the database, later ones are there")]
    #[non_exhaustive]
    MigrationGap {
        /// The set.
        set: &'static str,
        /// The first that is missing.
        number: i32,
    },
    /// The database was migrated by a newer program.
    #[error(
        "schema `{schema}` is at migration {database} of `{set}`, this program knows {program}: \
         use a newer program"
    )]
    #[non_exhaustive]
    DatabaseNewer {
        /// The set.
        set: &'static str,
        /// The schema that holds its tables.
        schema: String,
        /// The last migration the database has.
        database: i32,
        /// The last migration the program has.
        program: i32,
    },
    /// The database lacks migrations that the program needs.
    #[error("{}", older(.schema, .set, *.database, *.program)
    )]
    #[non_exhaustive]
    DatabaseOlder {
        /// The set.
        set: &'static str,
        /// The schema that holds its tables.
        schema: String,
        /// The last migration the database has, 0 if none.
        database: i32,
        /// The last migration the program has.
        program: i32,
    },
}

impl Error {
    /// Whether the same call may succeed a little later.
    ///
    /// That is a lost connection, a pool without a free one, a server that is out of reach for now,
    /// and of what a server says: SQLSTATE class 08 (connection), 40 (rollback: a deadlock, a
    /// serialization failure) and 53 (resources: memory, connections, room on the disk), `55P03` (a
    /// lock wasn't available), `57P01` to `57P03` (shutting down, starting up) and `25006`
    /// (read-only: a failover may be under way). Of those classes, `40002` (a constraint) and
    /// `53400` (a configured limit) aren't, nor is a statement that was cancelled or took too long.
    ///
    /// It doesn't say that repeating is harmless: see
    /// [`is_outcome_unknown`](Self::is_outcome_unknown).
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { failure, .. } => failure.is_transient(),
            Self::Unreachable { source, .. } => source.is_transient(),
            Self::AcquireTimeout { .. }
            | Self::Connecting { .. }
            | Self::ConnectionLost { .. }
            | Self::OutcomeUnknown { .. } => true,
            Self::Migration { source, .. } => source.is_transient(),
            Self::Query { source, .. } => source.code().is_some_and(verdict::is_transient),
            _ => false,
        }
    }

    /// Whether the database couldn't be used, or was too slow: nothing is wrong with the call itself.
    ///
    /// That is each error that [is transient](Self::is_transient), a server that refuses connections
    /// for good, a statement that took too long, and a database that was closed.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::TlsFile { .. }
            | Self::AcquireTimeout { .. }
            | Self::Unreachable { .. }
            | Self::Connecting { .. }
            | Self::Closed
            | Self::RuntimeEnded
            | Self::StatementTimeout { .. }
            | Self::ConnectionLost { .. }
            | Self::OutcomeUnknown { .. } => true,
            Self::StillInUse { .. }
            | Self::Unfinished { .. }
            | Self::SchemaName { .. }
            | Self::NotInitialised
            | Self::AlreadyInitialised
            | Self::Query { .. }
            | Self::NotPrepared { .. }
            | Self::ParameterCount { .. }
            | Self::RowCount { .. }
            | Self::TransactionFailed { .. }
            | Self::TransactionEnded { .. }
            | Self::Migration { .. }
            | Self::MigrationDenied { .. }
            | Self::MigrationChanged { .. }
            | Self::MigrationGap { .. }
            | Self::DatabaseNewer { .. }
            | Self::DatabaseOlder { .. } => self.is_transient(),
        }
    }

    /// Whether the statement or transaction may have taken effect although an error is reported.
    ///
    /// That is so if the connection was lost before the answer came. It is also so if the server
    /// answers with a code that leaves the outcome open: `40003`, `57P01`, `57P02`, and class 08
    /// without `08001`, `08004` and `08P01`. A proxy or the coordinator of a cluster answers so when
    /// it has lost the server that does the work. Within a transaction nothing is in doubt but the
    /// commit.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// The same error for another call, which has waited for the one that failed.
    ///
    /// There is none if what the server or the driver said about a statement is a part of the error: that can't be
    /// copied, nor need it hold for another statement.
    pub fn for_another(&self) -> Option<Self> {
        match self {
            Self::AcquireTimeout {
                in_use,
                by_caller,
                max,
                waited,
            } => Some(Self::AcquireTimeout {
                in_use: *in_use,
                by_caller: *by_caller,
                max: *max,
                waited: *waited,
            }),
            Self::Unreachable { waited, source } => Some(Self::Unreachable {
                waited: *waited,
                source: Arc::clone(source),
            }),
            Self::Connecting { waited } => Some(Self::Connecting { waited: *waited }),
            Self::Closed => Some(Self::Closed),
            Self::RuntimeEnded => Some(Self::RuntimeEnded),
            Self::ConnectionLost { statement, source } => Some(Self::ConnectionLost {
                statement: statement.clone(),
                source: source.clone(),
            }),
            Self::OutcomeUnknown { statement, source } => Some(Self::OutcomeUnknown {
                statement: statement.clone(),
                source: source.clone(),
            }),
            _ => None,
        }
    }

    /// The error with all its causes on one line, as it may be logged: see [`Chain`].
    pub fn for_log(&self) -> impl fmt::Display {
        Chain(self)
    }

    /// The server's error code, if the server reported the error.
    pub fn code(&self) -> Option<&SqlState> {
        let mut cause: Option<&(dyn StdError + 'static)> = Some(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<DbError>() {
                return Some(error.code());
            }
            if let Some(refusal) = error.downcast_ref::<Refusal>() {
                return refusal.code.as_ref();
            }
            cause = error.source();
        }
        None
    }
}

fn older(schema: &str, set: &str, database: i32, program: i32) -> String {
    let apply = "apply the migrations (`setup` or `apply`)";
    match database {
        0 => {
            format!("schema `{schema}` has no tables of `{set}`: {apply}, unless its name is wrong")
        }
        _ => format!(
            "schema `{schema}` is at migration {database} of `{set}`, this program needs {program}: {apply}"
        ),
    }
}

fn held(by_caller: u32) -> String {
    match by_caller {
        0 => String::new(),
        count => format!(", {count} of them by this very task, which waits for itself"),
    }
}

/// Nothing was heard where an answer was due.
#[derive(Debug, thiserror::Error)]
#[error("there was no answer within {after:.1?}")]
pub(crate) struct Silence {
    pub(crate) after: Duration,
}

/// An error with all its causes on one line, as it may be logged.
///
/// What the server adds to its message (detail, hint, context) is left out, because it quotes rows,
/// and so are the messages of data exceptions, which quote the value. Its code is there. What errors
/// of other crates say is shown as it is, but for line breaks and other control characters, which are
/// escaped: a thread's id may have some.
///
/// # Examples
///
/// ```
/// use db::Chain;
///
/// #[derive(Debug)]
/// struct Failed(db::Error);
///
/// impl std::fmt::Display for Failed {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         f.write_str("failed to place an order")
///     }
/// }
///
/// impl std::error::Error for Failed {
///     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
///         Some(&self.0)
///     }
/// }
///
/// let line = Chain::new(&Failed(db::Error::Closed)).to_string();
/// assert!(line.starts_with("failed to place an order: the database is closed"));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(pub(crate) &'a (dyn StdError + 'static));

impl<'a> Chain<'a> {
    /// Takes any error. Its causes are those that [`source`](StdError::source) gives.
    pub fn new(error: &'a (dyn StdError + 'static)) -> Self {
        Self(error)
    }

    /// The error and each of its causes by itself, in the words of the line.
    pub fn links(self) -> impl Iterator<Item = impl fmt::Display> {
        iter::successors(Some(self.0), |&error| error.source()).map(Link)
    }
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for link in self.links() {
            write!(f, "{separator}{link}")?;
            separator = ": ";
        }
        Ok(())
    }
}

/// An error without its causes.
struct Link<'a>(&'a (dyn StdError + 'static));

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Line(f);
        let Some(error) = self.0.downcast_ref::<DbError>() else {
            return write!(line, "{}", self.0);
        };
        let code = error.code().code();
        match code.starts_with("22") {
            true => write!(line, "data exception ({code})"),
            false => write!(line, "{} ({code})", error.message()),
        }
    }
}

/// Escapes what would end the line, or steer a terminal.
struct Line<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl fmt::Write for Line<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let steers = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        for part in text.split_inclusive(steers) {
            let mut chars = part.chars();
            match chars.next_back() {
                Some(last) if steers(last) => {
                    self.0.write_str(chars.as_str())?;
                    write!(self.0, "{}", last.escape_default())?;
                }
                _ => self.0.write_str(part)?,
            }
        }
        Ok(())
    }
}
