//! One connection to the server.

use std::error::Error as StdError;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::TryStreamExt;
use lru::LruCache;
use settings::PoolMode;
use tokio::time::{Instant, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, RowStream, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::cancel::Canceller;
use crate::condition::Condition;
use crate::error::{Chain, Silence};
use crate::shared::Shared;
use crate::tenure::Tenure;
use crate::{Error, Result, Statement, pooler};

/// How many prepared statements a connection keeps.
const STATEMENTS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// How long an abandoned statement may still run before it is cancelled.
///
/// Measured on one machine: a round trip, which also waits for a short one, and
/// cleans, takes 0.1 ms; a cancel request and then cleaning 2.6 ms; a cancel
/// request and a new connection more than 4 ms, most of it for the password.
const GRACE: Duration = Duration::from_millis(100);

/// How long a connection may lie idle and still be lent without a check.
const TRUSTED_FOR: Duration = Duration::from_secs(5);

/// How long that check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(1);

/// `DISCARD ALL` without its `DEALLOCATE ALL`, which would take the prepared
/// statements of the cache and those the driver keeps for itself. Unlike
/// `DISCARD ALL`, these may be sent together.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES";

/// Where the time-out for statements comes from: that of the start-up options is
/// the client's.
const ASK_FOR_OPTIONS: &str = "-- db::ask_for_options
     SELECT source FROM pg_catalog.pg_settings
     WHERE name OPERATOR(pg_catalog.=) 'statement_timeout'";

/// One connection to the server: the driver's client, the statements prepared
/// on it, and what is known about its state.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    canceller: Canceller,
    shared: Arc<Shared>,
    condition: Arc<Condition>,
    tenure: Tenure,
    statements: Mutex<LruCache<Statement, tokio_postgres::Statement>>,
    hangup: CancellationToken,
    opened: Instant,
    used: Instant,
    lent: bool,
}

/// What an error says about a call, and the limit it runs under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) name: &'a str,
    pub(crate) scope: Scope,
    pub(crate) limit: Option<Duration>,
}

/// When a statement takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// At once.
    Alone,
    /// With a later commit.
    Transaction,
}

impl Link {
    pub(crate) fn new(
        client: Client,
        canceller: Canceller,
        shared: Arc<Shared>,
        condition: Arc<Condition>,
        tenure: Tenure,
        hangup: CancellationToken,
    ) -> Self {
        let now = Instant::now();
        Self {
            client,
            canceller,
            shared,
            condition,
            tenure,
            statements: Mutex::new(LruCache::new(STATEMENTS)),
            hangup,
            opened: now,
            used: now,
            lent: false,
        }
    }

    pub(crate) fn condition(&self) -> &Condition {
        &self.condition
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.hangup.is_cancelled()
    }

    /// Notes that the connection comes back to the pool; whether it may stay.
    pub(crate) fn given_back(&mut self) -> bool {
        self.condition.place().given_back();
        // A borrower who went away during the check has proven nothing.
        if std::mem::take(&mut self.lent) {
            self.used = Instant::now();
        }
        self.condition.is_clean() && !self.is_closed() && !self.tenure.is_over()
    }

    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// For how long nobody has used the connection.
    pub(crate) fn rest(&self) -> Duration {
        self.used.elapsed()
    }

    /// Whether the server still answers, asked only after a longer rest.
    pub(crate) async fn check(&mut self) -> bool {
        self.lent = if self.is_closed() || self.tenure.is_over() {
            false
        } else if self.rest() < TRUSTED_FOR {
            true
        } else {
            self.answers().await
        };
        self.lent
    }

    async fn answers(&self) -> bool {
        let limit = CHECK_LIMIT.min(self.shared.network_timeout);
        match timeout(limit, self.client.check_connection()).await {
            Ok(Ok(())) => return true,
            Ok(Err(_)) => self.condition.set_spoilt(),
            Err(_) => self.set_silent(),
        }
        false
    }

    /// Makes a round trip, for which nothing but the network needs time.
    pub(crate) async fn ping(&self) -> Result<()> {
        let call = Call {
            name: "SELECT",
            scope: Scope::Alone,
            limit: None,
        };
        let limit = self.shared.network_timeout;
        let ping = async {
            match timeout(
                limit,
                self.attempt(call, pin!(self.client.batch_execute("SELECT"))),
            )
            .await
            {
                Ok(answer) => answer,
                Err(_) => Err(self.give_up(call, limit)),
            }
        };
        self.within_runtime(call, ping).await
    }

    /// Whether the start-up options reached the server. A pooler may be told to
    /// accept and ignore them.
    pub(crate) async fn took_options(&self) -> Result<bool> {
        let call = Call {
            name: "db::ask_for_options",
            scope: Scope::Alone,
            limit: Some(CHECK_LIMIT),
        };
        let asked = pin!(self.client.simple_query(ASK_FOR_OPTIONS));
        let answer = self.run(call, asked);
        let took = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0) == Some("client"),
            _ => false,
        };
        Ok(answer.await?.iter().any(took))
    }

    /// Runs a statement; its rows, and how many it affected.
    pub(crate) async fn rows(
        &self,
        call: Call<'_>,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64)> {
        match self.shared.mode {
            PoolMode::Session => {
                let work = pin!(self.prepared(call, statement, params));
                self.run(call, work).await
            }
            PoolMode::Transaction => {
                let work = pin!(self.unprepared(statement, params));
                self.run(call, work).await
            }
        }
    }

    /// Runs raw SQL, of one statement or several.
    pub(crate) async fn batch(&self, call: Call<'_>, sql: &str) -> Result<()> {
        self.run(call, pin!(self.client.batch_execute(sql))).await
    }

    async fn prepared(
        &self,
        call: Call<'_>,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
        let cached = self.statements().get(statement).cloned();
        if let Some(cached) = cached {
            match collect(self.client.query_raw(&cached, params.iter().copied()).await).await {
                // The server refuses a stale plan before it runs any of it.
                Err(error) if is_stale(&error) => {
                    self.statements().pop(statement);
                    if call.scope == Scope::Transaction {
                        return Err(error);
                    }
                    debug!(statement = call.name, "preparing a stale statement again");
                }
                answer => return answer,
            }
        }
        let prepared = self
            .client
            .prepare_typed(statement.sql(), statement.types())
            .await?;
        self.statements().put(statement.clone(), prepared.clone());
        collect(
            self.client
                .query_raw(&prepared, params.iter().copied())
                .await,
        )
        .await
    }

    async fn unprepared(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
        let params = params
            .iter()
            .copied()
            .zip(statement.types().iter().cloned());
        collect(self.client.query_typed_raw(statement.sql(), params).await).await
    }

    /// Awaits a call of the driver, whichever runtime its caller is in.
    ///
    /// Pinned by the caller: a future that is handed on takes its room once in each that it passes
    /// through, and what a task is made of is copied when it is spawned.
    async fn run<T>(
        &self,
        call: Call<'_>,
        work: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<T> {
        self.within_runtime(call, self.attempt(call, work)).await
    }

    async fn within_runtime<T>(
        &self,
        call: Call<'_>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let runtime = &self.shared.runtime;
        if runtime.has_ended() {
            return Err(Error::RuntimeEnded);
        }
        // When it ends its connections do, which wakes the call.
        let done = runtime.poll(pin!(Some(work))).await;
        done.unwrap_or_else(|| {
            self.condition.set_lost(Arc::new(Error::RuntimeEnded));
            Err(self.lost(call, None))
        })
    }

    /// Awaits a call of the driver, and keeps account of it.
    async fn attempt<T>(
        &self,
        call: Call<'_>,
        work: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<T> {
        if self.is_closed() {
            return Err(Error::ConnectionLost {
                statement: call.name.to_owned(),
                source: self.condition.lost(),
            });
        }
        let started = Instant::now();
        let before = self.condition.call_begins();
        let answer = match (self.shared.mode, call.limit) {
            (_, None) => Some(work.await.map_err(Some)),
            (PoolMode::Transaction, Some(limit)) => self.within(limit, work).await,
            // The server keeps the limit, for each call that is before this one, too.
            (PoolMode::Session, Some(limit)) => {
                let limit = limit.saturating_mul(before.saturating_add(1));
                let limit = limit.saturating_add(self.shared.network_timeout);
                let answer = timeout(limit, work).await.ok();
                answer.map(|answer| answer.map_err(Some))
            }
        };
        let result = match answer {
            Some(answer) => {
                self.condition.call_ends();
                answer.map_err(|error| match error {
                    Some(error) => self.failed(call, started.elapsed(), error),
                    None => self.lost(call, None),
                })
            }
            None => Err(self.give_up(call, started.elapsed())),
        };
        result.inspect_err(|error| {
            debug!(statement = call.name, error = %Chain(error), "statement failed");
        })
    }

    /// The answer within the limit, or else what came of a cancel request:
    /// nothing, if the server doesn't answer at all, and no error if it says
    /// that the statement was done.
    async fn within<T, E>(
        &self,
        limit: Duration,
        mut work: Pin<&mut impl Future<Output = Result<T, E>>>,
    ) -> Option<Result<T, Option<E>>> {
        if let Ok(answer) = timeout(limit, work.as_mut()).await {
            return Some(answer.map_err(Some));
        }
        // The request may still be on its way when the statement has ended by
        // itself, and must not hit another.
        self.condition.set_spoilt();
        let answer = async { tokio::join!(work, self.canceller.cancel()).0 };
        let answer = timeout(self.shared.network_timeout, answer).await.ok()?;
        // A commit that waits for a synchronous standby succeeds when it is
        // cancelled, and the standby may not have it.
        Some(answer.map_err(Some).and(Err(None)))
    }

    /// Ends a connection that doesn't answer.
    fn give_up(&self, call: Call<'_>, after: Duration) -> Error {
        self.condition.set_lost(Arc::new(Silence { after }));
        self.set_silent();
        self.hangup.cancel();
        self.lost(call, None)
    }

    /// Notes that an answer that was due didn't come. The older connections are
    /// likely to be no better, and to try each would take a borrower's whole
    /// time.
    fn set_silent(&self) {
        self.condition.set_spoilt();
        self.tenure.end();
    }

    fn failed(&self, call: Call<'_>, after: Duration, source: tokio_postgres::Error) -> Error {
        let statement = call.name.to_owned();
        match source.as_db_error() {
            Some(error) if pooler::was_never_sent(error) => {
                let source = Some(Arc::new(source) as _);
                return Error::ConnectionLost { statement, source };
            }
            // What the server was doing at that moment may be done: it can be told to stop after
            // it has committed.
            Some(error) if pooler::is_fatal(error) => return self.lost(call, Some(source)),
            None if source.is_closed() => return self.lost(call, Some(source)),
            _ => {}
        }
        if self.shared.mode == PoolMode::Session && is_unprepared(&source) {
            return Error::NotPrepared { statement, source };
        }
        if source.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
            self.tenure.end();
        }
        match call.limit {
            Some(limit) if after >= limit && source.code() == Some(&SqlState::QUERY_CANCELED) => {
                Error::StatementTimeout {
                    statement,
                    limit,
                    source,
                }
            }
            _ => Error::Query { statement, source },
        }
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

    /// Makes a dirty connection clean, in one round trip, or gives it up.
    ///
    /// An abandoned statement is waited for a little: most are short, and that
    /// is cheaper than a cancel request and another connection. Once it took
    /// too long it is cancelled, and the connection is not used again, since a
    /// request that comes late could hit the next borrower's statement.
    pub(crate) async fn clean(&self) {
        let condition = &self.condition;
        if condition.is_spoilt() || self.is_closed() {
            return;
        }
        let limit = if condition.in_flight() {
            GRACE
        } else {
            self.shared.network_timeout
        };
        // Behind a pooler a reset would hit somebody else's session.
        let reset = condition.is_changed() && self.shared.mode == PoolMode::Session;
        let sql = match (condition.in_transaction(), reset) {
            (true, true) => &format!("ROLLBACK; {RESET}"),
            (true, false) => "ROLLBACK",
            (false, true) => RESET,
            // The answer to nothing says that what was abandoned has ended.
            (false, false) => "",
        };
        match timeout(limit, self.client.batch_execute(sql)).await {
            Ok(Ok(())) => {
                condition.set_clean();
                debug!("cleaned a connection");
            }
            Ok(Err(error)) => {
                condition.set_spoilt();
                warn!(error = %Chain(&error), "failed to clean a connection, giving it up");
            }
            Err(_) => {
                condition.set_spoilt();
                debug!("a connection is busy with an abandoned statement, giving it up");
            }
        }
    }

    fn statements(&self) -> MutexGuard<'_, LruCache<Statement, tokio_postgres::Statement>> {
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    /// A clean connection says good-bye by itself when its client is dropped. A
    /// dirty one would first wait for whatever is running.
    fn drop(&mut self) {
        if !self.condition.is_clean() {
            self.hangup.cancel();
        }
    }
}

async fn collect(
    stream: Result<RowStream, tokio_postgres::Error>,
) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
    let mut stream = pin!(stream?);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        rows.push(row);
    }
    Ok((rows, stream.rows_affected().unwrap_or(0)))
}

/// Whether a prepared statement is no longer what it was: DDL changed what it
/// returns, or it was deallocated.
fn is_stale(error: &tokio_postgres::Error) -> bool {
    let Some(error) = error.as_db_error() else {
        return false;
    };
    match *error.code() {
        SqlState::INVALID_SQL_STATEMENT_NAME => true,
        // The code is used for much else, and the message is translated.
        SqlState::FEATURE_NOT_SUPPORTED => error.routine() == Some("RevalidateCachedQuery"),
        _ => false,
    }
}

/// Whether a prepared statement isn't there, or another is in its place, although
/// it was just prepared.
fn is_unprepared(error: &tokio_postgres::Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::INVALID_SQL_STATEMENT_NAME | &SqlState::DUPLICATE_PSTATEMENT)
    )
}
