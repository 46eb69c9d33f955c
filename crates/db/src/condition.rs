//! Whether a connection is clean.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

/// What a connection has gone through since it was last known to be clean.
///
/// A connection counts as dirty until it is proven clean: a mark is made before the message that
/// makes it true is sent, and removed after the answer that makes it untrue has come.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    /// Statements that were sent and whose answer wasn't read to its end. Those whose future is
    /// dropped stay counted.
    in_flight: AtomicU32,
    transaction: AtomicBool,
    begun: AtomicBool,
    changed: AtomicBool,
    spoilt: AtomicBool,
    lost: OnceLock<Arc<dyn Error + Send + Sync>>,
}

// The marks are set by the caller and read when the connection is returned: there is nothing else
// for the orderings to publish.
impl Condition {
    /// Counts the statements of a call, and says how many there are with those before them.
    pub(crate) fn call_begins(&self, statements: u32) -> u32 {
        self.in_flight.fetch_add(statements, Ordering::Relaxed) + statements
    }

    pub(crate) fn call_ends(&self, statements: u32) {
        self.in_flight.fetch_sub(statements, Ordering::Relaxed);
    }

    /// Whether a call was abandoned, or is running if the connection is in use.
    pub(crate) fn in_flight(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    /// Marks whether a transaction of ours may be open, and says whether it was.
    pub(crate) fn set_transaction(&self, open: bool) -> bool {
        self.transaction.swap(open, Ordering::Relaxed)
    }

    /// Marks that raw SQL may have begun a transaction.
    pub(crate) fn set_begun(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    /// Marks that SQL may have changed the session.
    pub(crate) fn set_changed(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Marks that nothing will make the connection clean again.
    pub(crate) fn set_spoilt(&self) {
        self.spoilt.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_spoilt(&self) -> bool {
        self.spoilt.load(Ordering::Relaxed)
    }

    pub(crate) fn is_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    /// Whether a transaction may be open, begun by this crate or by raw SQL.
    pub(crate) fn in_transaction(&self) -> bool {
        self.transaction.load(Ordering::Relaxed) || self.begun.load(Ordering::Relaxed)
    }

    pub(crate) fn is_clean(&self) -> bool {
        !(self.in_flight() || self.in_transaction() || self.is_changed() || self.is_spoilt())
    }

    pub(crate) fn set_clean(&self) {
        self.in_flight.store(0, Ordering::Relaxed);
        self.transaction.store(false, Ordering::Relaxed);
        self.begun.store(false, Ordering::Relaxed);
        self.changed.store(false, Ordering::Relaxed);
    }

    /// Notes why the connection ended.
    pub(crate) fn set_lost(&self, error: Arc<dyn Error + Send + Sync>) {
        self.lost.get_or_init(|| error);
    }

    pub(crate) fn lost(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        self.lost.get().cloned()
    }
}
