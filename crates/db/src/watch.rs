//! Watching over the calls on one connection: their limits, and what came of them.

use std::error::Error as StdError;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use settings::PoolMode;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::cancel::Canceller;
use crate::condition::Condition;
use crate::error::{Chain, Silence};
use crate::meter::Place;
use crate::preparation::Preparation;
use crate::shared::Shared;
use crate::tenure::Tenure;
use crate::verdict::Verdict;
use crate::{Error, Result, pooler};

/// What a connection, the task that moves its bytes and the pool know of it.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) shared: Arc<Shared>,
    pub(crate) condition: Condition,
    /// Where the connection is counted.
    pub(crate) place: Arc<Place>,
    pub(crate) tenure: Tenure,
    pub(crate) canceller: Canceller,
    pub(crate) preparation: Preparation,
    /// Ends the connection.
    pub(crate) hangup: CancellationToken,
}

/// What an error says about a call, and the limit it runs under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) scope: Scope,
    /// For each statement.
    pub(crate) limit: Limit,
    pub(crate) statements: u32,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    None,
    /// A statement, to which the network's time is added.
    Statement(Duration),
    /// A round trip, for which nothing but the network needs time.
    RoundTrip,
}

/// When a statement takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// At once.
    Alone,
    /// With a later commit.
    Transaction,
}

impl Watch {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        tenure: Tenure,
        canceller: Canceller,
        preparation: Preparation,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            condition: Condition::default(),
            place: Place::new(&shared.meter, preparation),
            tenure,
            canceller,
            preparation,
            hangup: shared.hangup.child_token(),
        }
    }

    /// Awaits a call of the driver, whichever runtime its caller is in.
    ///
    /// Pinned by the caller: a future that is handed on takes its room once in each that it passes
    /// through, and what a task is made of is copied when it is spawned.
    pub(crate) async fn run<T>(
        &self,
        call: Call<'_>,
        work: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<T> {
        let runtime = &self.shared.runtime;
        if runtime.has_ended() {
            return Err(Error::RuntimeEnded);
        }
        // When the runtime ends its connections do, which wakes the call.
        let attempt = pin!(Some(self.attempt(call, work)));
        let done = runtime.poll(attempt).await;
        let result = done.unwrap_or_else(|| {
            self.condition.set_lost(Arc::new(Error::RuntimeEnded));
            Err(self.lost(call, None))
        });
        result.inspect_err(|error| {
            debug!(statement = call.name, error = %Chain(error), "statement failed");
        })
    }

    /// Awaits a call of the driver, and keeps account of it.
    async fn attempt<T>(
        &self,
        call: Call<'_>,
        work: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<T> {
        let started = Instant::now();
        // Those that were sent before may use up their time first.
        let statements = self.condition.call_begins(call.statements);
        let Some(answer) = self.limited(call.limit, statements, work).await else {
            return Err(self.give_up(call, started.elapsed()));
        };
        self.condition.call_ends(call.statements);
        answer.map_err(|error| match error {
            Some(error) => self.failed(call, started.elapsed(), error),
            None => self.lost(call, None),
        })
    }

    /// The answer within the limit. Nothing, if it is overdue; no error, if it is the answer to a
    /// cancel request that came too late.
    async fn limited<T, E>(
        &self,
        limit: Limit,
        statements: u32,
        work: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Option<Result<T, Option<E>>> {
        let patience = match (self.shared.mode, limit) {
            (_, Limit::None) => return Some(work.await.map_err(Some)),
            (_, Limit::RoundTrip) => Duration::ZERO,
            (PoolMode::Transaction, Limit::Statement(limit)) => {
                return self.within(limit.saturating_mul(statements), work).await;
            }
            // The server enforces the limit for each of them.
            (PoolMode::Session, Limit::Statement(limit)) => limit.saturating_mul(statements),
        };
        let patience = patience.saturating_add(self.shared.network_timeout);
        let answer = timeout(patience, work).await.ok()?;
        Some(answer.map_err(Some))
    }

    /// The answer within the limit, or else what came of a cancel request: nothing, if the server
    /// doesn't answer at all, and no error if it says that the statement was done.
    async fn within<T, E>(
        &self,
        limit: Duration,
        mut work: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Option<Result<T, Option<E>>> {
        if let Ok(answer) = timeout(limit, work.as_mut()).await {
            return Some(answer.map_err(Some));
        }
        // The request may still be on its way when the statement has ended by itself, and must not
        // hit another.
        self.condition.set_spoilt();
        let answer = async { tokio::join!(work, self.canceller.cancel()).0 };
        let answer = timeout(self.shared.network_timeout, answer).await.ok()?;
        // A commit that waits for a synchronous standby succeeds when it is cancelled, and the
        // standby may not have it.
        Some(answer.map_err(Some).and(Err(None)))
    }

    /// Ends a connection that doesn't answer.
    fn give_up(&self, call: Call<'_>, after: Duration) -> Error {
        self.condition.set_lost(Arc::new(Silence { after }));
        self.set_silent();
        self.hangup.cancel();
        self.lost(call, None)
    }

    /// Notes that an answer that was due didn't come. The older connections are likely to be no
    /// better, and to try each would take a caller's whole time.
    ///
    /// Not so behind a pooler, where what is sent may wait for a server connection: the others are
    /// as good, and new ones would wait there, too.
    pub(crate) fn set_silent(&self) {
        self.condition.set_spoilt();
        if self.shared.mode == PoolMode::Session {
            self.tenure.end();
        }
    }

    fn failed(&self, call: Call<'_>, after: Duration, source: tokio_postgres::Error) -> Error {
        let statement = call.name.to_owned();
        let verdict = Verdict::of(&source, self.shared.mode);
        if verdict == Verdict::ReadOnly {
            self.tenure.end();
        }
        match (verdict, call.limit) {
            (Verdict::NeverSent, _) => self.never_sent(statement, source),
            (Verdict::Lost, _) => self.lost(call, Some(source)),
            // What is in doubt within a transaction is rolled back with it.
            (Verdict::InDoubt, _) if call.scope == Scope::Alone => {
                let source = Some(Arc::new(source) as _);
                Error::OutcomeUnknown { statement, source }
            }
            (Verdict::NotPrepared, _) => Error::NotPrepared { statement, source },
            (Verdict::Cancelled, Limit::Statement(limit)) if after >= limit => {
                Error::StatementTimeout {
                    statement,
                    limit,
                    source,
                }
            }
            _ => Error::Query { statement, source },
        }
    }

    fn never_sent(&self, statement: String, source: tokio_postgres::Error) -> Error {
        let is_fatal = source.as_db_error().is_some_and(pooler::is_fatal);
        let source: Arc<dyn StdError + Send + Sync> = Arc::new(source);
        if is_fatal {
            // Until the other end has closed it, what is sent would seem to reach a server.
            self.condition.set_spoilt();
            self.condition.set_lost(Arc::clone(&source));
            self.hangup.cancel();
        }
        let source = Some(source);
        Error::ConnectionLost { statement, source }
    }

    fn lost(&self, call: Call<'_>, error: Option<tokio_postgres::Error>) -> Error {
        // The driver may take a moment to find that out.
        self.condition.set_spoilt();
        let statement = call.name.to_owned();
        let source = match error {
            Some(error) if !error.is_closed() => {
                let error: Arc<dyn StdError + Send + Sync> = Arc::new(error);
                self.condition.set_lost(Arc::clone(&error));
                Some(error)
            }
            // What ended the connection says more than "closed".
            closed => self
                .condition
                .lost()
                .or(closed.map(|error| Arc::new(error) as _)),
        };
        match call.scope {
            Scope::Alone => Error::OutcomeUnknown { statement, source },
            Scope::Transaction => Error::ConnectionLost { statement, source },
        }
    }
}
