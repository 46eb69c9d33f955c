//! One connection to the server: the driver's client, and what the pool knows of it.

mod statements;

use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use lru::LruCache;
use settings::PoolMode;
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;
use tracing::{debug, warn};

use crate::condition::Condition;
use crate::error::Chain;
use crate::meter::Place;
use crate::watch::{Call, Limit, Scope, Watch};
use crate::{Error, Result, Statement};
pub(crate) use statements::unprepared;

/// How long an abandoned statement may still run before it is cancelled.
///
/// Measured on one machine: a round trip, which also waits for a short one, and cleans, takes 0.1
/// ms; a cancel request and then cleaning 2.6 ms; a cancel request and a new connection more than 4
/// ms, most of it for the password.
const GRACE: Duration = Duration::from_millis(100);

/// How long a connection may lie idle and still be used without a check.
const TRUSTED_FOR: Duration = Duration::from_secs(5);

/// How long that check may take.
const CHECK_LIMIT: Duration = Duration::from_secs(1);

/// `DISCARD ALL` without its `DEALLOCATE ALL`, which would take the prepared statements of the
/// cache and those the driver keeps for itself. Unlike `DISCARD ALL`, these may be sent together.
const RESET: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
     SELECT pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES";

tokio::task_local! {
    /// Set while idle connections are looked at.
    static LOOKING: ();
}

/// What acquires a connection at once, without asking the server. That is no use of it.
pub(crate) fn look_at<T>(acquire: impl Future<Output = T>) -> Option<T> {
    LOOKING.sync_scope((), || acquire.now_or_never())
}

/// One connection to the server.
#[derive(Debug)]
pub(crate) struct Link {
    client: Client,
    watch: Arc<Watch>,
    statements: Mutex<LruCache<Statement, tokio_postgres::Statement>>,
    opened: Instant,
    used: Instant,
    is_acquired: bool,
}

impl Link {
    pub(crate) fn new(client: Client, watch: Arc<Watch>) -> Self {
        let now = Instant::now();
        Self {
            client,
            watch,
            statements: Mutex::new(LruCache::new(statements::STATEMENTS)),
            opened: now,
            used: now,
            is_acquired: false,
        }
    }

    pub(crate) fn condition(&self) -> &Condition {
        &self.watch.condition
    }

    /// Where the connection is counted.
    pub(crate) fn place(&self) -> &Place {
        &self.watch.place
    }

    pub(crate) fn mode(&self) -> PoolMode {
        self.watch.shared.mode
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed() || self.watch.hangup.is_cancelled()
    }

    /// Notes that the connection returns to the pool; whether it may stay.
    pub(crate) fn is_fit_to_return(&mut self) -> bool {
        self.place().returned();
        // A caller who went away during the check has proven nothing.
        if std::mem::take(&mut self.is_acquired) {
            self.used = Instant::now();
        }
        self.condition().is_clean() && !self.is_closed() && !self.watch.tenure.is_over()
    }

    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// For how long the connection hasn't been used.
    pub(crate) fn rest(&self) -> Duration {
        self.used.elapsed()
    }

    /// Whether the connection may be lent. After a longer rest the server is asked, but not behind
    /// a pooler, where the question would wait for a server connection: there it is left to the
    /// sockets' keepalive to find out that the pooler is gone.
    pub(crate) async fn check(&mut self) -> bool {
        self.is_acquired = false;
        if self.is_closed() || self.watch.tenure.is_over() {
            return false;
        }
        if LOOKING.try_with(|()| ()).is_ok() {
            return true;
        }
        self.is_acquired = self.rest() < TRUSTED_FOR
            || self.mode() == PoolMode::Transaction
            || self.answers().await;
        self.is_acquired
    }

    async fn answers(&self) -> bool {
        let limit = CHECK_LIMIT.min(self.watch.shared.network_timeout);
        match timeout(limit, self.client.check_connection()).await {
            Ok(Ok(())) => return true,
            Ok(Err(_)) => self.condition().set_spoilt(),
            Err(_) => self.watch.set_silent(),
        }
        false
    }

    /// Makes a round trip.
    pub(crate) async fn ping(&self) -> Result<()> {
        let call = Call {
            name: "SELECT",
            scope: Scope::Alone,
            limit: Limit::RoundTrip,
            statements: 1,
        };
        self.batch(call, "SELECT").await
    }

    /// Runs raw SQL, of one statement or several.
    pub(crate) async fn batch(&self, call: Call<'_>, sql: &str) -> Result<()> {
        self.run(call, pin!(self.client.batch_execute(sql))).await
    }

    async fn run<T>(
        &self,
        call: Call<'_>,
        work: Pin<&mut impl Future<Output = Result<T, tokio_postgres::Error>>>,
    ) -> Result<T> {
        if self.is_closed() && !self.watch.shared.runtime.has_ended() {
            return Err(Error::ConnectionLost {
                statement: call.name.to_owned(),
                source: self.condition().lost(),
            });
        }
        self.watch.run(call, work).await
    }

    /// Makes a dirty connection clean, in one round trip, or discards it.
    ///
    /// An abandoned statement is waited for a little: most are short, and that is cheaper than a
    /// cancel request and another connection. Once it took too long it is cancelled, and the
    /// connection is not used again, since a request that comes late could hit the statement of
    /// another caller.
    pub(crate) async fn clean(&self) {
        let condition = self.condition();
        if condition.is_spoilt() || self.is_closed() {
            return;
        }
        let limit = match condition.in_flight() {
            true => GRACE,
            false => self.watch.shared.network_timeout,
        };
        match timeout(limit, self.client.batch_execute(&self.cleaning())).await {
            Ok(Ok(())) => {
                condition.set_clean();
                debug!("cleaned a connection");
            }
            Ok(Err(error)) => {
                condition.set_spoilt();
                warn!(error = %Chain(&error), "failed to clean a connection, discarding it");
            }
            Err(_) => {
                condition.set_spoilt();
                debug!("a connection is busy with an abandoned statement, discarding it");
            }
        }
    }

    fn cleaning(&self) -> String {
        let condition = self.condition();
        // Behind a pooler a reset would hit another client's session.
        let reset = condition.is_changed() && self.mode() == PoolMode::Session;
        match (condition.in_transaction(), reset) {
            (true, true) => format!("ROLLBACK; {RESET}"),
            (true, false) => "ROLLBACK".to_owned(),
            (false, true) => RESET.to_owned(),
            // The answer to nothing says that what was abandoned has ended.
            (false, false) => String::new(),
        }
    }
}

impl Drop for Link {
    /// A clean connection says good-bye by itself when its client is dropped. A dirty one would
    /// first wait for whatever is running.
    fn drop(&mut self) {
        if !self.condition().is_clean() {
            self.watch.hangup.cancel();
        }
    }
}
