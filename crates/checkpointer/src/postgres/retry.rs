//! Trying again after a transient failure.

use std::time::{Duration, Instant};

use crate::{Error, Result};

/// For how long failures are retried.
const DEADLINE: Duration = Duration::from_secs(30);

/// The longest first pause; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Calls `attempt` until it succeeds, fails for good, or the time is over. Only for what may be
/// repeated after an unknown outcome.
///
/// What fails for good after an attempt whose outcome is unknown is reported as unknown: that attempt
/// may have taken effect.
pub(super) async fn retry<T, Attempt>(
    operation: &'static str,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<T>
where
    Attempt: Future<Output = Result<T, db::Error>>,
{
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut unknown = None;
    loop {
        let source = match attempt().await {
            Ok(done) => return Ok(done),
            Err(source) => source,
        };
        let jittered = pause.mul_f64(fastrand::f64());
        let repeatable = source.is_transient() || source.is_outcome_unknown();
        if !repeatable || start.elapsed() + jittered > DEADLINE {
            tracing::debug!(operation, error = ?source, "giving up");
            let source = unknown.unwrap_or(source);
            return Err(Error::Database { operation, source });
        }
        tracing::debug!(operation, error = %source, pause = ?jittered, "trying again");
        if source.is_outcome_unknown() {
            unknown = Some(source);
        }
        tokio::time::sleep(jittered).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}
