//! Closing a pool: first what depends on it, then its connections.

use std::iter::repeat_with;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use crate::dependents::Failure;
use crate::error::Chain;
use crate::{Database, Error, Result};

/// In place of a deadline that no clock reaches.
const FAR_AWAY: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

#[derive(Debug, thiserror::Error)]
#[error("it wasn't done within {after:.1?}")]
struct Overdue {
    after: Duration,
}

impl Database {
    /// Lets something that depends on the database finish its work before the pool closes:
    /// [`close`](Self::close) calls `finish` with `dependent` if it still exists then, and waits
    /// for what it returns. All dependents finish at the same time. None of them closes the database
    /// itself, which would begin all of this again.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::sync::Arc;
    ///
    /// use db::Database;
    ///
    /// struct Outbox {
    ///     database: Database,
    /// }
    ///
    /// impl Outbox {
    ///     fn new(database: Database) -> Arc<Self> {
    ///         let outbox = Arc::new(Self { database });
    ///         outbox.database.before_close(&outbox, |outbox| async move {
    ///             outbox.flush().await?;
    ///             Ok(())
    ///         });
    ///         outbox
    ///     }
    ///
    ///     async fn flush(&self) -> db::Result<()> {
    ///         // …
    ///         # Ok(())
    ///     }
    /// }
    /// ```
    pub fn before_close<T, F>(
        &self,
        dependent: &Arc<T>,
        finish: impl Fn(Arc<T>) -> F + Send + Sync + 'static,
    ) where
        T: Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.shared().dependents.add(dependent, finish);
    }

    /// Closes the pool: one call at shutdown does everything in the right order.
    ///
    /// What depends on the database finishes its work first: what was registered with
    /// [`before_close`](Self::before_close), as a checkpointer is. Then no connection can be
    /// acquired any more, and callers that wait for one fail with [`Error::Closed`]. Connections in
    /// use have until `deadline`, which counts from the beginning, to be returned. Then every
    /// socket is closed, and what still ran is cancelled.
    ///
    /// # Errors
    ///
    /// [`Error::StillInUse`] if connections were in use at the deadline; [`Error::Unfinished`] if
    /// something that depends on the database failed, or wasn't done by then. Everything is closed
    /// nevertheless. [`Error::RuntimeEnded`] if everything was closed before, by the end of the
    /// runtime.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the close goes no further. Calling again, which is always allowed, finishes it.
    pub async fn close(&self, deadline: Duration) -> Result<()> {
        let close = self.close_by(deadline);
        let closed = self.shared().runtime.run(pin!(Some(close))).await;
        closed.inspect_err(|_| self.shared().closing.cancel())?
    }

    async fn close_by(&self, deadline: Duration) -> Result<()> {
        let now = Instant::now();
        let end = now.checked_add(deadline).unwrap_or(now + FAR_AWAY);
        let shared = self.shared();
        shared.ending.cancel();
        let failures = self.finish_dependents(end, deadline).await;
        shared.closing.cancel();
        shared.in_use.close();
        let in_time = timeout_at(end, shared.in_use.wait()).await.is_ok();
        let in_use = shared.in_use.len();
        shared.hangup.cancel();
        shared.sockets.close();
        shared.sockets.wait().await;
        let closed = outcome(failures, if in_time { 0 } else { in_use }, deadline);
        match &closed {
            Ok(()) => info!("closed"),
            Err(error) => warn!(error = %Chain(error), "closed by force"),
        }
        closed
    }

    /// Lets what depends on the database finish, in tasks of its own: what it awaits is polled within
    /// the runtime, too, and such polls can't be nested.
    async fn finish_dependents(&self, end: Instant, deadline: Duration) -> Vec<Failure> {
        let shared = self.shared();
        let mut finishing = JoinSet::new();
        for dependent in shared.dependents.finish() {
            finishing.spawn_on(dependent, shared.runtime.handle());
        }
        let mut failures = Vec::new();
        loop {
            match timeout_at(end, finishing.join_next()).await {
                Ok(None) => return failures,
                Ok(Some(Ok(finished))) => failures.extend(finished.err()),
                Ok(Some(Err(panicked))) => failures.push(panicked.into()),
                Err(_) => {
                    let overdue = || Overdue { after: deadline }.into();
                    failures.extend(repeat_with(overdue).take(finishing.len()));
                    return failures;
                }
            }
        }
    }
}

fn outcome(failures: Vec<Failure>, in_use: usize, waited: Duration) -> Result<()> {
    let mut failures = failures.into_iter();
    match failures.next() {
        Some(source) => Err(Error::Unfinished {
            in_use,
            source,
            others: failures.collect(),
        }),
        None if in_use > 0 => Err(Error::StillInUse { in_use, waited }),
        None => Ok(()),
    }
}
