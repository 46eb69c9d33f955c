//! Trying again after a transient failure.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Inner;
use super::call::Call;
use crate::{Error, Result};

/// The longest first pause; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// How much longer failures are retried once a close has begun, which waits for that.
const CLOSING: Duration = Duration::from_secs(5);

/// Calls `attempt` until it succeeds, fails for good, or there were enough attempts. Only for what
/// may be repeated after an unknown outcome.
///
/// What fails for good after an attempt whose outcome is unknown is reported as unknown: that
/// attempt may have taken effect.
pub(super) async fn retry<T, Attempt>(
    inner: &Inner,
    operation: &'static str,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<T>
where
    Attempt: Future<Output = Result<T, db::Error>>,
{
    let retries = inner.database.retries();
    let mut deadline = Instant::now() + retries.timeout;
    let mut closing = false;
    let mut pause = FIRST_PAUSE.min(retries.longest_pause);
    let mut unknown = None;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let source = match attempt().await {
            Ok(done) => return Ok(done),
            Err(source) => source,
        };
        if !closing && inner.closing.is_cancelled() {
            closing = true;
            deadline = deadline.min(Instant::now() + CLOSING);
        }
        let jittered = pause.mul_f64(fastrand::f64());
        let next = Instant::now() + jittered;
        let repeatable = source.is_transient() || source.is_outcome_unknown();
        if !repeatable || attempts >= retries.attempts || next > deadline {
            tracing::debug!(operation, attempts, error = %source.for_log(), "giving up");
            let source = unknown.unwrap_or(source);
            return Err(Error::Database { operation, source });
        }
        tracing::debug!(operation, attempts, error = %source.for_log(), pause = ?jittered, "trying again");
        if let Some(call) = Call::current() {
            call.retried();
        }
        if source.is_outcome_unknown() {
            unknown = Some(source);
        }
        tokio::select! {
            () = sleep_until(next) => {}
            // Not the whole pause, which may be long.
            () = inner.closing.cancelled(), if !closing => {}
        }
        pause = (2 * pause).min(retries.longest_pause);
    }
}
