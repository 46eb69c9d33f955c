//! The pauses of those that wait for a lease.

use std::time::{Duration, SystemTime};

use db::Backoff;

use crate::Error;

/// The longest first pause. Each further one may be twice as long.
const FIRST: Duration = Duration::from_millis(50);

/// The longest pause of all. A holder may release its lease at any time.
const LONGEST: Duration = Duration::from_secs(1);

/// Within how long those who wait for the end of the same lease ask for it.
const SPREAD: Duration = Duration::from_millis(100);

/// The pauses before further attempts.
#[derive(Debug)]
pub(super) struct Pauses {
    backoff: Backoff,
    /// The end of the lease that is waited for, as it was heard last.
    until: Option<SystemTime>,
}

impl Pauses {
    pub(super) fn new() -> Self {
        Self {
            backoff: Backoff::new(FIRST, LONGEST),
            until: None,
        }
    }

    /// The pause after a failed attempt; none if no other attempt is worth it.
    pub(super) fn after(&mut self, error: &Error) -> Option<Duration> {
        match error {
            Error::LeaseHeld { until, .. } => Some(self.before(*until)),
            // Another program took it before the answer came.
            Error::LeaseLost { .. } => Some(self.backoff.pause()),
            error if error.is_transient() => Some(self.backoff.pause()),
            _ => None,
        }
    }

    /// The pause before the next attempt to take a lease that ends at `until`.
    ///
    /// That is by the database's clock, and so a hint only: the same end is trusted once.
    fn before(&mut self, until: SystemTime) -> Duration {
        let pause = self.backoff.pause();
        if self.until.replace(until) == Some(until) {
            return pause;
        }
        let rest = until.duration_since(SystemTime::now()).unwrap_or_default();
        pause.min(rest + SPREAD.mul_f64(fastrand::f64()))
    }
}
