//! The options that a connection starts with.

use std::time::Duration;

use settings::{PoolMode, Settings};

/// The setting that shows whether the options have reached the session: a pooler may be told to
/// ignore them, or may share a session between several clients.
pub(super) const MARK: &str = "db.connection";

/// To compile a statement takes longer than to run it, for all but reports: the planner takes a page
/// of a large table for a tenth of it.
const NO_JIT: &str = "-c jit=off";

/// The `options` of the start-up packet.
#[derive(Debug)]
pub(crate) struct Options {
    is_marked: bool,
    fixed: Vec<String>,
}

impl Options {
    pub(crate) fn new(settings: &Settings) -> Self {
        // A pooler in transaction mode refuses `options`; the limits are the client's task then.
        let is_session = settings.pool_mode() == PoolMode::Session;
        let limit = settings.statement_timeout().filter(|_| is_session);
        let plain = is_session.then(|| NO_JIT.to_owned());
        let own = settings.options().map(str::to_owned);
        Self {
            is_marked: is_session,
            fixed: plain
                .into_iter()
                .chain(limit.map(limits))
                .chain(own)
                .collect(),
        }
    }

    /// The mark of a new connection, which no other one has.
    pub(super) fn mark(&self) -> Option<String> {
        self.is_marked
            .then(|| format!("{:016x}", fastrand::u64(..)))
    }

    /// The options of a connection. The user's own come last, so they win.
    pub(crate) fn with(&self, mark: Option<&str>) -> Option<String> {
        let mut options: Vec<_> = mark
            .map(|mark| format!("-c {MARK}={mark}"))
            .into_iter()
            .collect();
        options.extend(self.fixed.iter().cloned());
        (!options.is_empty()).then(|| options.join(" "))
    }
}

fn limits(statement: Duration) -> String {
    let milliseconds = statement.as_millis();
    let lock = lock_limit(statement).as_millis();
    format!("-c statement_timeout={milliseconds} -c lock_timeout={lock}")
}

/// How long a statement may wait for a lock, by how long it may run. The limit for locks is
/// shorter, so that the server's error says which of the two was reached.
pub(crate) fn lock_limit(statement: Duration) -> Duration {
    (statement / 2).max(Duration::from_millis(1))
}
