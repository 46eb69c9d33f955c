//! What the server's error codes mean: the one place that knows them.

use std::error::Error as StdError;

use settings::PoolMode;
use tokio_postgres::error::SqlState;

use crate::connect_failure::ConnectFailure;
use crate::pooler;

/// What an error says about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The statement didn't reach a server, and the connection is lost.
    NeverSent,
    /// The connection is lost, and what the server did is unknown.
    Lost,
    /// The connection goes on, and the server doesn't know what became of the statement.
    InDoubt,
    /// The connection isn't the one on which the statement was prepared.
    NotPrepared,
    /// The server doesn't write, or no longer does.
    ReadOnly,
    /// The statement was cancelled.
    Cancelled,
    /// The statement failed.
    Failed,
}

impl Verdict {
    pub(crate) fn of(error: &tokio_postgres::Error, mode: PoolMode) -> Self {
        match error.as_db_error() {
            Some(error) if pooler::was_never_sent(error) => return Self::NeverSent,
            // What the server was doing at that moment may be done: it can be told to stop after it
            // has committed.
            Some(error) if pooler::is_fatal(error) => return Self::Lost,
            None if error.is_closed() => return Self::Lost,
            _ => {}
        }
        match error.code().map(SqlState::code) {
            Some("26000" | "42P05") if mode == PoolMode::Session => Self::NotPrepared,
            Some("25006") => Self::ReadOnly,
            Some("57014") => Self::Cancelled,
            Some(code) if is_in_doubt(code) => Self::InDoubt,
            _ => Self::Failed,
        }
    }
}

/// Whether an error code, on a connection that goes on, leaves open whether the statement was
/// carried out.
///
/// The server that reports it has asked another one to carry the statement out, as the coordinator
/// of a cluster and a proxy do. It has lost the connection to that one (class 08), or that one was
/// told to stop or has crashed (57P01, 57P02), perhaps after it had committed.
fn is_in_doubt(code: &str) -> bool {
    match code {
        "40003" | "57P01" | "57P02" => true,
        // There was no connection yet, or the message was malformed.
        "08001" | "08004" | "08P01" => false,
        code => code.starts_with("08"),
    }
}

/// Why an outcome is unknown, in words that a statement's name follows.
pub(crate) fn unknown_because(
    source: Option<&(dyn StdError + Send + Sync + 'static)>,
) -> &'static str {
    let answer = source
        .and_then(|source| source.downcast_ref::<tokio_postgres::Error>())
        .and_then(tokio_postgres::Error::as_db_error);
    match answer {
        Some(answer) if !pooler::is_fatal(answer) => "the server does not know what became of",
        _ => "the connection was lost during",
    }
}

/// What an error says about a transaction that was to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Uncommitted {
    /// There was no transaction any more.
    Ended,
    /// A statement of it had failed.
    Failed,
    /// The server refused to commit.
    Refused,
}

impl Uncommitted {
    pub(crate) fn of(error: &tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::NO_ACTIVE_SQL_TRANSACTION) => Self::Ended,
            Some(&SqlState::IN_FAILED_SQL_TRANSACTION) => Self::Failed,
            _ => Self::Refused,
        }
    }
}

/// Whether it is the role that may not do something: it lacks a privilege, or its transactions are
/// read-only, which the caller knows.
pub(crate) fn is_denied(code: &SqlState, is_read_only: bool) -> bool {
    match *code {
        SqlState::INSUFFICIENT_PRIVILEGE => true,
        SqlState::READ_ONLY_SQL_TRANSACTION => is_read_only,
        _ => false,
    }
}

/// Whether a session didn't know a prepared statement, or knew another one by its name.
pub(crate) fn is_misnamed(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT)
    )
}

/// Whether a prepared statement is no longer what it was: DDL changed what it returns, or it was
/// deallocated.
pub(crate) fn is_stale(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else {
        return false;
    };
    match *error.code() {
        SqlState::INVALID_SQL_STATEMENT_NAME => true,
        // The code is used for much else, and the message is translated.
        SqlState::FEATURE_NOT_SUPPORTED => error.routine() == Some("RevalidateCachedQuery"),
        _ => false,
    }
}

/// Why a statement failed that is in order itself, in the words of those who have to do something
/// about it.
pub(crate) fn reason(error: &tokio_postgres::Error) -> &'static str {
    match error.code().map(SqlState::code) {
        Some("25006") => ": the server is read-only",
        Some("3F000" | "42P01") => ": a schema or a table is missing",
        Some("42501") => ": the role lacks a privilege",
        Some("53100") => ": the server's disk is full",
        Some("53200") => ": the server is out of memory",
        Some("55P03") => ": another session has held a lock for too long",
        _ => "",
    }
}

/// Whether the same statement may succeed a little later.
pub(crate) fn is_transient(code: &SqlState) -> bool {
    match code.code() {
        "40002" | "53400" => false,
        "25006" | "55P03" | "57P01" | "57P02" | "57P03" => true,
        code => matches!(code.get(..2), Some("08" | "40" | "53")),
    }
}

/// Why a server or a pooler turned a connection away.
pub(crate) fn refused(code: &SqlState, message: &str) -> ConnectFailure {
    if let Some(failure) = pooler::connect_failure(code, message) {
        return failure;
    }
    match code.code() {
        "28P01" | "28000" => ConnectFailure::Authentication,
        "3D000" => ConnectFailure::UnknownDatabase,
        "53300" => ConnectFailure::TooManyConnections,
        // The time that a server or a pooler leaves for the log-in is over.
        "57014" | "57P05" => ConnectFailure::TimedOut,
        "57P01" | "57P02" | "57P03" => ConnectFailure::NotReady,
        class if class.starts_with("53") => ConnectFailure::OutOfResources,
        _ if is_transient(code) => ConnectFailure::BrokenOff,
        _ => ConnectFailure::Rejected,
    }
}
