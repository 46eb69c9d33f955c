//! Asking the server, and again after a transient failure.

use std::time::Duration;

use db::{Row, Statement, ToSql};
use tokio::time::{Instant, sleep_until};

use super::call::Call;
use super::store::Store;
use crate::{Error, Result};

/// The longest first pause; each further one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// How much longer failures are retried once a close has begun, which waits for that.
const CLOSING: Duration = Duration::from_secs(5);

impl Store {
    /// Asks for rows.
    pub(super) async fn query(
        &self,
        operation: &'static str,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        self.retry(operation, || async {
            let connection = self.database.get().await?;
            connection.query(statement, parameters).await
        })
        .await
    }

    /// Asks for one row at most.
    pub(super) async fn query_opt(
        &self,
        operation: &'static str,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>> {
        self.retry(operation, || async {
            let connection = self.database.get().await?;
            connection.query_opt(statement, parameters).await
        })
        .await
    }

    /// Asks for something to be done.
    pub(super) async fn execute(
        &self,
        operation: &'static str,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<()> {
        self.retry(operation, || async {
            let connection = self.database.get().await?;
            connection.execute(statement, parameters).await
        })
        .await?;
        Ok(())
    }

    /// Calls `attempt` until it succeeds, fails for good, or there were enough attempts. Only for
    /// what may be repeated after an unknown outcome: whatever tells one attempt from the next,
    /// such as the id of a delete, is made outside of `attempt`.
    ///
    /// A final failure that follows an attempt whose outcome is unknown is reported as unknown:
    /// that attempt may have taken effect.
    pub(super) async fn retry<T, Attempt>(
        &self,
        operation: &'static str,
        mut attempt: impl FnMut() -> Attempt,
    ) -> Result<T>
    where
        Attempt: Future<Output = Result<T, db::Error>>,
    {
        let retries = self.database.retries();
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
            if !closing && self.is_closing() {
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
                () = self.closing.cancelled(), if !closing => {}
            }
            pause = (2 * pause).min(retries.longest_pause);
        }
    }
}
