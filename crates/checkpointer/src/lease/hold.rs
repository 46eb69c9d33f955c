//! Whether a lease is still the holder's, as far as the holder can tell.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What a guard and its renewal share.
#[derive(Debug)]
pub(super) struct Hold {
    /// When the lease is over unless it is renewed, by a clock that isn't set.
    until: Mutex<Instant>,
    lost: CancellationToken,
}

impl Hold {
    pub(super) fn new(until: Instant) -> Self {
        Self {
            until: Mutex::new(until),
            lost: CancellationToken::new(),
        }
    }

    pub(super) fn until(&self) -> Instant {
        *self.lock()
    }

    /// Whether the lease is lost, as it is once its time is over.
    pub(super) fn is_lost(&self) -> bool {
        self.is_over(&self.lock())
    }

    /// Notes a renewal. Returns false if the lease was lost before.
    pub(super) fn extend(&self, to: Instant) -> bool {
        let mut until = self.lock();
        let is_over = self.is_over(&until);
        if !is_over {
            *until = to;
        }
        !is_over
    }

    /// Waits until the lease is lost.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Gives up the lease when the result is dropped.
    pub(super) fn loses_on_drop(&self) -> DropGuard {
        self.lost.clone().drop_guard()
    }

    /// Under the lock, so that a late renewal doesn't revive what was said to be lost.
    fn is_over(&self, until: &Instant) -> bool {
        if Instant::now() >= *until {
            self.lost.cancel();
        }
        self.lost.is_cancelled()
    }

    fn lock(&self) -> MutexGuard<'_, Instant> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
