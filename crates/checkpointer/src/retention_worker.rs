//! Applying policies to all threads, at a rate that leaves room for others.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Checkpointer, Error, Prune, Removed, Result, Retention};

/// How many threads a batch has.
const BATCH: usize = 20;

/// How many threads are looked at in a second, unless something else is chosen.
const THREADS_PER_SECOND: u32 = 100;

/// Applies policies to all threads that are due, in batches: once, or again and again.
///
/// Each batch is a call of [`prune`](Checkpointer::prune) with [`Prune::due`]. After it the worker
/// pauses for as long as the batch took, so that it works for no more than half of the time, and longer
/// if it would look at more threads a second than [was chosen](Self::threads_per_second).
///
/// Any number of programs may run workers with the same policies: at any moment one of them is at work
/// for a policy, and the others pass it over. When a program dies, another goes on where it was, after
/// two minutes. With several policies each is applied for itself: a thread that two of them concern keeps
/// what both keep.
///
/// # Examples
///
/// A worker in an agent's program, or in one of its own:
///
/// ```no_run
/// use std::time::Duration;
///
/// use checkpointer::{PostgresCheckpointer, Retention};
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
///
/// # async fn example(database: db::Database) -> checkpointer::Result<()> {
/// let checkpointer = PostgresCheckpointer::setup(database).await?;
/// let policy = Retention::keep_last(10).newer_than(30 * DAY).delete_after(365 * DAY);
/// let upkeep = checkpointer.retention([policy]).run_every(Duration::from_secs(60 * 60));
/// // … until the program ends:
/// upkeep.stop().await;
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is done before `run` or `run_every`"]
pub struct RetentionWorker {
    checkpointer: Arc<dyn Checkpointer>,
    policies: Vec<Retention>,
    threads_per_second: u32,
    on_progress: Option<Progress>,
    closing: CancellationToken,
}

type Progress = Box<dyn Fn(&RetentionReport) + Send + Sync>;

/// What a round of a [`RetentionWorker`] has done, and what it couldn't do.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RetentionReport {
    /// What was removed, how many threads were looked at, and those that failed, with the reasons.
    pub removed: Removed,
    /// How long the round took so far, with the pauses.
    pub took: Duration,
    /// How many policies were passed over because another worker is at work with them.
    pub elsewhere: usize,
}

/// A [`RetentionWorker`] that runs again and again. Dropped, it is stopped as by
/// [`stop`](Self::stop), which isn't waited for then.
#[derive(Debug)]
#[must_use = "dropped, the worker stops"]
pub struct RetentionHandle {
    worker: JoinHandle<()>,
    stopping: DropGuard,
}

impl RetentionWorker {
    /// Makes a worker that applies `policies` to the threads of `checkpointer`, which may be a wrapper
    /// of another one. [`PostgresCheckpointer::retention`](crate::PostgresCheckpointer::retention) makes
    /// one that also ends with the database.
    pub fn new(
        checkpointer: Arc<dyn Checkpointer>,
        policies: impl IntoIterator<Item = Retention>,
    ) -> Self {
        Self {
            checkpointer,
            policies: policies.into_iter().collect(),
            threads_per_second: THREADS_PER_SECOND,
            on_progress: None,
            closing: CancellationToken::new(),
        }
    }

    /// Ends the worker when the token is cancelled.
    pub(crate) fn closed_by(self, closing: CancellationToken) -> Self {
        Self { closing, ..self }
    }

    /// Chooses how many threads are looked at in a second at most, 1 at least. Defaults to 100.
    pub fn threads_per_second(self, threads: u32) -> Self {
        Self {
            threads_per_second: threads.max(1),
            ..self
        }
    }

    /// Calls a function after each batch, with what the round has done so far.
    pub fn on_progress(
        self,
        on_progress: impl Fn(&RetentionReport) + Send + Sync + 'static,
    ) -> Self {
        Self {
            on_progress: Some(Box::new(on_progress)),
            ..self
        }
    }

    /// Applies each policy to all threads that are due now, and returns: for a job that something else
    /// starts at its time.
    ///
    /// # Errors
    ///
    /// What keeps all of it from being done, as [`Checkpointer::prune`]. A thread that fails is in the
    /// report, and is tried again in the next round.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the step under way goes on to its end, and the next call goes on from there.
    pub async fn run(&self) -> Result<RetentionReport> {
        let began = Instant::now();
        let mut report = RetentionReport::default();
        for policy in &self.policies {
            loop {
                let batch = self.batch(policy).await?;
                // A sweep that failed has kept no thread from being examined.
                let is_cut_short = batch.examined < BATCH as u64 && batch.is_cut_short();
                let ends = !batch.more || batch.examined == 0 || is_cut_short;
                report.elsewhere += usize::from(batch.elsewhere);
                report.add(batch, began.elapsed());
                if let Some(on_progress) = &self.on_progress {
                    on_progress(&report);
                }
                if ends {
                    break;
                }
            }
        }
        Ok(report)
    }

    /// Prunes some threads, and pauses.
    async fn batch(&self, policy: &Retention) -> Result<Removed> {
        let began = Instant::now();
        let prune = Prune::due(policy.clone()).limit(BATCH);
        let batch = self.checkpointer.prune(prune).await?;
        if batch.more {
            let at_most = Duration::from_secs(batch.examined) / self.threads_per_second;
            let took = began.elapsed();
            tokio::time::sleep(took.max(at_most.saturating_sub(took))).await;
        }
        Ok(batch)
    }

    /// Applies the policies now and then again every `interval`, until the handle is stopped or dropped,
    /// or the checkpointer is closed. A round that fails is logged, and the next one comes in its time.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub fn run_every(self, interval: Duration) -> RetentionHandle {
        let stopping = CancellationToken::new();
        let stopped = stopping.clone();
        let worker = tokio::spawn(async move {
            let closing = self.closing.clone();
            tokio::select! {
                () = stopped.cancelled() => {}
                () = closing.cancelled() => {}
                () = self.rounds(interval) => {}
            }
        });
        RetentionHandle {
            worker,
            stopping: stopping.drop_guard(),
        }
    }

    async fn rounds(&self, interval: Duration) {
        let mut tick = tokio::time::interval(interval.max(Duration::from_millis(1)));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.run().await {
                Ok(report) => report.log(),
                Err(Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(error = %error.for_log(), "failed to apply the retention policies");
                }
            }
        }
    }
}

impl fmt::Debug for RetentionWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetentionWorker")
            .field("policies", &self.policies)
            .field("threads_per_second", &self.threads_per_second)
            .finish_non_exhaustive()
    }
}

impl RetentionReport {
    fn add(&mut self, batch: Removed, took: Duration) {
        self.removed.count(&batch);
        self.removed.examined += batch.examined;
        self.removed.failed.extend(batch.failed);
        self.removed.untried.extend(batch.untried);
        self.took = took;
    }

    fn log(&self) {
        let removed = &self.removed;
        tracing::debug!(
            threads = removed.examined,
            threads_deleted = removed.threads,
            checkpoints = removed.checkpoints,
            bytes = removed.bytes,
            failed = removed.failed.len(),
            took_seconds = self.took.as_secs_f64(),
            "applied the retention policies"
        );
    }
}

impl RetentionHandle {
    /// Stops the worker: no further thread is looked at. A step that was sent goes on to its end, for
    /// which [`Database::close`](db::Database::close) waits.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the worker stops nevertheless.
    pub async fn stop(self) {
        drop(self.stopping);
        // A panic of the function for progress has been reported by the runtime.
        let _ = self.worker.await;
    }
}
