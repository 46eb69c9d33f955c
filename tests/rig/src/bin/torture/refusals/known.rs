//! The refusals that servers and poolers are known for.

use rig::Instead::{self, Cut, Half, Reset};
use rig::Moment::{self, Answer, Question, StartUp};

/// A refusal, and what an error should say about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal {
    pub(super) instead: Instead,
    /// When it may come.
    pub(super) moments: &'static [Moment],
    /// Whether it passes.
    pub(super) passes: bool,
    /// Whether it says itself that the server has done nothing.
    pub(super) is_harmless: bool,
}

/// At any time.
const ANY: &[Moment] = &[StartUp, Question, Answer];

/// While a pooler looks for a server: the statement reaches none.
const WAITING: &[Moment] = &[StartUp, Question];

/// While a statement is under way.
const UNDER_WAY: &[Moment] = &[Question, Answer];

const AT_START: &[Moment] = &[StartUp];

pub(super) const KNOWN: &[Refusal] = &[
    broken(Cut),
    broken(Reset),
    broken(Half),
    // PostgreSQL.
    passes(
        ANY,
        "57P01",
        "terminating connection due to administrator command",
    ),
    passes(
        ANY,
        "57P02",
        "terminating connection because of crash of another server process",
    ),
    passes(AT_START, "57P03", "the database system is starting up"),
    passes(AT_START, "57P03", "the database system is shutting down"),
    passes(AT_START, "57P03", "the database system is in recovery mode"),
    passes(AT_START, "53300", "sorry, too many clients already"),
    passes(AT_START, "53200", "out of memory"),
    passes(
        AT_START,
        "53100",
        "could not write init file: No space left on device",
    ),
    stays("28000", "no pg_hba.conf entry for host \"10.0.0.1\""),
    stays("28P01", "password authentication failed for user \"app\""),
    stays("3D000", "database \"agents\" does not exist"),
    // PgBouncer.
    passes(
        AT_START,
        "08P01",
        "no more connections allowed (max_client_conn)",
    ),
    passes(AT_START, "08P01", "client_login_timeout"),
    harmless(
        "08P01",
        "server login has been failing, cached error: connect failed (server_login_retry)",
    ),
    harmless("08P01", "query_wait_timeout"),
    passes(UNDER_WAY, "08P01", "server conn crashed?"),
    passes(UNDER_WAY, "08P01", "query_timeout"),
    passes(UNDER_WAY, "08P01", "client_idle_timeout"),
    passes(ANY, "08P01", "pgbouncer cannot connect to server"),
    stays("08P01", "no such user: app"),
    stays("08P01", "no such database: agents"),
    // Odyssey, and proxies of clouds.
    passes(ANY, "08006", "failed to connect to remote server"),
    passes(ANY, "08000", "server connection closed"),
    stays("28000", "route for 'agents.app' is not found"),
    // Supavisor.
    passes(
        AT_START,
        "XX000",
        "MaxClientsInSessionMode: max clients reached",
    ),
    harmless(
        "XX000",
        "(ECHECKOUTTIMEOUT) unable to check out connection from the pool",
    ),
    stays("XX000", "Tenant or user not found"),
];

const fn broken(instead: Instead) -> Refusal {
    Refusal {
        instead,
        moments: ANY,
        passes: true,
        is_harmless: false,
    }
}

const fn passes(moments: &'static [Moment], code: &'static str, text: &'static str) -> Refusal {
    Refusal {
        moments,
        ..broken(Instead::Error { code, text })
    }
}

const fn harmless(code: &'static str, text: &'static str) -> Refusal {
    Refusal {
        is_harmless: true,
        ..passes(WAITING, code, text)
    }
}

const fn stays(code: &'static str, text: &'static str) -> Refusal {
    Refusal {
        passes: false,
        ..passes(AT_START, code, text)
    }
}
