//! What a pooler's own errors mean.
//!
//! PgBouncer gives nearly all of them the code 08P01, and those that it passes on from a server it
//! couldn't log in to as well; Supavisor gives all of its own the code XX000. So their texts
//! decide, which they don't translate.

use tokio_postgres::error::{DbError, Severity, SqlState};

use crate::connect_failure::ConnectFailure;

/// Why a pooler, or the server behind it, turned a connection away.
pub(crate) fn connect_failure(code: &SqlState, text: &str) -> Option<ConnectFailure> {
    match code.code() {
        "08P01" => pgbouncer(text),
        "XX000" => supavisor(text),
        // RDS Proxy, which takes no options.
        "0A000" if text.contains("command-line options") => Some(ConnectFailure::StartupParameter),
        _ => None,
    }
}

fn pgbouncer(text: &str) -> Option<ConnectFailure> {
    let says = |part| text.contains(part);
    if says("unsupported startup parameter") {
        Some(ConnectFailure::StartupParameter)
    } else if says("no such database") || (says("database \"") && says("does not exist")) {
        Some(ConnectFailure::UnknownDatabase)
    } else if says("authentication failed")
        || says("no such user")
        || says("login rejected")
        || says("pg_hba.conf")
        || (says("role \"") && says("does not exist"))
    {
        Some(ConnectFailure::Authentication)
    } else if says("no more connections allowed") || says("too many") {
        Some(ConnectFailure::TooManyConnections)
    } else if says("SSL required") || says("TLS connection required") {
        Some(ConnectFailure::Rejected)
    } else if says("server login has been failing") || says("the database system is") {
        Some(ConnectFailure::NotReady)
    } else {
        None
    }
}

fn supavisor(text: &str) -> Option<ConnectFailure> {
    let says = |part| text.to_ascii_lowercase().contains(part);
    if says("max clients") || says("echeckouttimeout") {
        Some(ConnectFailure::TooManyConnections)
    } else if says("tenant") && says("not found") {
        Some(ConnectFailure::Authentication)
    } else {
        None
    }
}

/// Whether the connection doesn't survive the error.
pub(crate) fn is_fatal(error: &DbError) -> bool {
    match error.parsed_severity() {
        Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
        // A pooler leaves out the one that is never translated.
        None => matches!(error.severity(), "FATAL" | "PANIC"),
    }
}

/// Whether a pooler gave up on a statement that it hadn't sent to any server yet: the one that it
/// was to prepare was deallocated by `DEALLOCATE ALL` or `DISCARD ALL`, for example.
pub(crate) fn was_never_sent(error: &DbError) -> bool {
    let text = error.message();
    match error.code().code() {
        "08P01" => {
            text == "query_wait_timeout"
                || text == "prepared statement did not exist"
                || text.starts_with("server login has been failing")
        }
        "XX000" => text.contains("ECHECKOUTTIMEOUT"),
        _ => false,
    }
}
