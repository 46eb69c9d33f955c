//! Renewing a lease until it is lost.

use std::sync::Arc;
use std::time::Duration;

use db::Backoff;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Lease;
use super::hold::Hold;
use crate::{Checkpointer, Error};

/// The longest pause after the first renewal that failed. Each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause of all.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The renewals of a guard's lease.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) checkpointer: Arc<dyn Checkpointer>,
    pub(super) lease: Lease,
    pub(super) ttl: Duration,
    pub(super) hold: Arc<Hold>,
}

/// Why no further renewal is tried.
#[derive(Debug)]
enum End {
    /// The database says so, or the checkpointer was closed.
    Refused(Error),
    /// No renewal succeeded in time. There may have been failures.
    TimeOver(Option<Error>),
}

impl Renewal {
    /// Renews the lease, which was asked for at `asked`, until it is lost.
    pub(super) fn run(self, asked: Instant) -> impl Future<Output = ()> + Send + 'static {
        // Also if the runtime ends before the future is polled.
        let loses_on_drop = self.hold.loses_on_drop();
        async move {
            let end = self.until_lost(asked).await;
            drop(loses_on_drop);
            self.log(&end);
        }
    }

    async fn until_lost(&self, asked: Instant) -> End {
        let mut next = self.next_after(asked);
        let mut failures = Failures::new(self.ttl);
        loop {
            sleep_until(next).await;
            if self.hold.is_lost() {
                return End::TimeOver(failures.last);
            }
            let asked = Instant::now();
            let renewal = self.checkpointer.renew_lease(&self.lease, self.ttl);
            match timeout_at(self.hold.until(), renewal).await {
                Ok(Ok(_)) if self.hold.extend(asked + self.ttl) => {
                    failures = Failures::new(self.ttl);
                    next = self.next_after(asked);
                }
                Ok(Err(error @ (Error::LeaseLost { .. } | Error::Closed))) => {
                    return End::Refused(error);
                }
                Ok(Err(error)) => {
                    let again = Instant::now() + failures.pause_after(error);
                    next = again.min(self.hold.until());
                }
                Ok(Ok(_)) | Err(_) => return End::TimeOver(failures.last),
            }
        }
    }

    /// When the next renewal is due: so early that there is time for more of them if it fails. Leases
    /// that were taken together aren't renewed together.
    fn next_after(&self, asked: Instant) -> Instant {
        asked + self.ttl.mul_f64((3.0 + fastrand::f64()) / 12.0)
    }

    fn log(&self, end: &End) {
        let thread_id = self.lease.thread_id.as_str();
        match end {
            End::Refused(Error::Closed) => {}
            End::Refused(error) | End::TimeOver(Some(error)) => {
                tracing::warn!(thread_id, error = %error.for_log(), "a lease is lost");
            }
            End::TimeOver(None) => {
                tracing::warn!(thread_id, "a lease is lost: it wasn't renewed in time");
            }
        }
    }
}

/// The renewals that failed since one succeeded.
#[derive(Debug)]
struct Failures {
    backoff: Backoff,
    last: Option<Error>,
}

impl Failures {
    fn new(ttl: Duration) -> Self {
        Self {
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE.min(ttl / 6)),
            last: None,
        }
    }

    fn pause_after(&mut self, error: Error) -> Duration {
        self.last = Some(error);
        self.backoff.pause()
    }
}
