//! For how long a connection is trusted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// For how long a connection is trusted to lead to where it should.
///
/// A server that was demoted, or a pooler whose server was, may keep its connections. The first
/// write that is refused there as read-only ends the tenure of its connection and of all that are
/// older: others are opened, which may lead to the new primary. So does, in pool mode `session`, the
/// first answer that doesn't come: a network that has forgotten one connection has forgotten others.
#[derive(Debug)]
pub(crate) struct Tenure {
    ended: Arc<AtomicU64>,
    number: u64,
}

impl Tenure {
    /// Begins before the connection is opened, so that one that is opened while another one fails
    /// counts as older. `ended` is the pool's.
    pub(crate) fn begin(ended: &Arc<AtomicU64>) -> Self {
        Self {
            ended: Arc::clone(ended),
            number: ended.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn end(&self) {
        self.ended.fetch_max(self.number + 1, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended.load(Ordering::Relaxed) > self.number
    }
}
