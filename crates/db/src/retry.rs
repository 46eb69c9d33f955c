//! Trying again after a failure that may pass.

use std::error::Error as StdError;
use std::fmt;
use std::iter;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::select;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::backoff::Backoff;
use crate::error::Chain;
use crate::{Database, Error, Result, Retries};

/// The longest first pause.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// How much longer failures are retried once a close has begun, which waits for that.
const CLOSING: Duration = Duration::from_secs(5);

/// Does something again after a failure that may pass: [`Database::retry`] makes it.
#[derive(Clone, Copy)]
#[must_use = "nothing is done before `run`"]
pub struct Retry<'a> {
    database: &'a Database,
    operation: &'a str,
    closing: Option<&'a CancellationToken>,
    on_retry: Option<&'a (dyn Fn(&Error) + Sync)>,
}

impl Database {
    /// Begins something that is done again after a failure that [may pass](Error::is_transient),
    /// for as long and as often as `DB_RETRY_TIMEOUT` and `DB_RETRY_ATTEMPTS` say. `operation`
    /// names it in the log.
    ///
    /// A wait for a connection that took all of `DB_ACQUIRE_TIMEOUT` isn't begun again.
    ///
    /// # What may be repeated
    ///
    /// An attempt whose outcome is unknown is followed by another one, which may be the second that
    /// takes effect. So it must do no harm twice: a read, a statement that sets a value, an
    /// `INSERT` with `ON CONFLICT DO NOTHING` whose id is known. What tells one execution from
    /// another is made before the loop and not in it, such as a generated id or the present time.
    ///
    /// Nor must an attempt use a connection or a transaction from outside of it, which may be the
    /// one that was lost. An attempt that is a transaction begins and ends within the loop.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use db::{Database, GenericClient, Statement, Type};
    ///
    /// static PAY: Statement = Statement::new(
    ///     "-- orders::pay
    ///      UPDATE orders SET paid_at = coalesce(paid_at, now()) WHERE id = $1",
    ///     &[Type::INT8],
    /// );
    ///
    /// async fn pay(db: &Database, order: i64) -> db::Result<bool> {
    ///     let found = db
    ///         .retry("pay an order")
    ///         .run(|| async { db.get().await?.execute(&PAY, &[&order]).await })
    ///         .await?;
    ///     Ok(found == 1)
    /// }
    /// ```
    pub fn retry<'a>(&'a self, operation: &'a str) -> Retry<'a> {
        Retry {
            database: self,
            operation,
            closing: None,
            on_retry: None,
        }
    }
}

impl<'a> Retry<'a> {
    /// Cuts the time for retries short once the token is cancelled, to a few seconds. A
    /// [close](Database::close) of the database does so anyway.
    pub fn cut_short_by(self, closing: &'a CancellationToken) -> Self {
        Self {
            closing: Some(closing),
            ..self
        }
    }

    /// Calls a function before each further attempt, with the failure of the last one.
    pub fn on_retry(self, on_retry: &'a (dyn Fn(&Error) + Sync)) -> Self {
        Self {
            on_retry: Some(on_retry),
            ..self
        }
    }

    /// Calls `attempt` until it succeeds, fails for good, or was tried for long or often enough.
    ///
    /// An attempt may fail with an error of the caller's. Whether that may pass says the [`Error`] that it is, or
    /// that is among its [sources](StdError::source). Without one it is for good. So is a wait for a connection
    /// that took all of `DB_ACQUIRE_TIMEOUT`.
    ///
    /// # Errors
    ///
    /// That of the last attempt, unless the outcome of an earlier one is unknown: then that one's,
    /// because it may have taken effect.
    ///
    /// # Cancel safety
    ///
    /// As that of the attempt.
    ///
    /// # Examples
    ///
    /// A transaction that fails with an error of its own if there is nothing left:
    ///
    /// ```no_run
    /// use db::{Database, GenericClient, Statement, Type};
    ///
    /// static TAKE: Statement = Statement::new(
    ///     "-- shop::take
    ///      UPDATE shop.stock SET pieces = pieces - 1 WHERE item = $1 AND pieces > 0",
    ///     &[Type::TEXT],
    /// );
    ///
    /// #[derive(Debug, thiserror::Error)]
    /// enum OrderError {
    ///     #[error("there is none left")]
    ///     SoldOut,
    ///     #[error("the shop's database failed")]
    ///     Database(#[from] db::Error),
    /// }
    ///
    /// async fn take(db: &Database, item: &str) -> Result<(), OrderError> {
    ///     let attempt = || {
    ///         db.transaction(async |tx| match tx.execute(&TAKE, &[&item]).await? {
    ///             0 => Err(OrderError::SoldOut),
    ///             _ => Ok(()),
    ///         })
    ///     };
    ///     db.retry("take from stock").run(attempt).await
    /// }
    /// ```
    pub async fn run<T, E, Attempt>(self, mut attempt: impl FnMut() -> Attempt) -> Result<T, E>
    where
        Attempt: Future<Output = Result<T, E>>,
        E: StdError + From<Error> + 'static,
    {
        let mut patience = Patience::new(self.database.retries());
        let mut unknown = None;
        loop {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            if self.is_closing() {
                patience.cut_short();
            }
            let attempts = patience.attempts;
            let failure = failure(&error);
            let passing = failure.filter(|failure| may_pass(failure));
            let (Some(pause), Some(failure)) = (patience.pause(), passing) else {
                let error = unknown.unwrap_or(error);
                debug!(operation = self.operation, attempts, error = %Chain(&error), "giving up");
                return Err(error);
            };
            debug!(
                operation = self.operation,
                attempts,
                error = %Chain(&error),
                ?pause,
                "trying again"
            );
            if let Some(on_retry) = self.on_retry {
                on_retry(failure);
            }
            if failure.is_outcome_unknown() {
                unknown = Some(error);
            }
            if let Err(ended) = self.rest(pause).await {
                return Err(unknown.unwrap_or_else(|| ended.into()));
            }
        }
    }

    /// Waits, but not for the whole of a long pause if a close begins.
    async fn rest(&self, pause: Duration) -> Result<()> {
        let runtime = &self.database.shared().runtime;
        let rest = async {
            let slept = pin!(sleep(pause));
            if self.is_closing() {
                return slept.await;
            }
            select(slept, pin!(self.closing())).await;
        };
        runtime.run(pin!(Some(rest))).await
    }

    fn is_closing(&self) -> bool {
        let closing = |token: &CancellationToken| token.is_cancelled();
        self.closing.is_some_and(closing) || closing(&self.database.shared().ending)
    }

    async fn closing(&self) {
        let ending = pin!(self.database.shared().ending.cancelled());
        match self.closing {
            Some(closing) => {
                select(ending, pin!(closing.cancelled())).await;
            }
            None => ending.await,
        }
    }
}

impl fmt::Debug for Retry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// The failure of the database that an attempt's error is, or comes from.
fn failure<'e>(error: &'e (dyn StdError + 'static)) -> Option<&'e Error> {
    iter::successors(Some(error), |&error| error.source()).find_map(<dyn StdError>::downcast_ref)
}

/// Whether another attempt is worth it. One that waited for a connection in vain has had its time:
/// its caller may be the one that holds them all.
fn may_pass(error: &Error) -> bool {
    error.is_transient() && !matches!(error, Error::AcquireTimeout { .. })
}

/// What is left of the time and of the attempts.
struct Patience {
    /// How many were begun, and how many there may be.
    attempts: u32,
    most: u32,
    deadline: Instant,
    is_cut_short: bool,
    backoff: Backoff,
}

impl Patience {
    fn new(retries: Retries) -> Self {
        Self {
            attempts: 1,
            most: retries.attempts,
            deadline: Instant::now() + retries.timeout,
            is_cut_short: false,
            backoff: Backoff::new(FIRST_PAUSE, retries.longest_pause),
        }
    }

    fn cut_short(&mut self) {
        if !self.is_cut_short {
            self.is_cut_short = true;
            self.deadline = self.deadline.min(Instant::now() + CLOSING);
        }
    }

    /// The pause before the next attempt, if there is one.
    fn pause(&mut self) -> Option<Duration> {
        let pause = self.backoff.pause();
        let in_time = Instant::now() + pause <= self.deadline;
        let again = in_time && self.attempts < self.most;
        self.attempts += 1;
        again.then_some(pause)
    }
}
