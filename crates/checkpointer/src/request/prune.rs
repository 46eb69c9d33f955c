//! Asks to remove old checkpoints.

use crate::{IntoName, Result, Retention, ThreadId};

/// What a prune leaves.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PruneStrategy {
    /// The latest checkpoint of each namespace, those that are pinned, and what these need:
    /// [`Retention::keep_last(1)`](Retention::keep_last).
    KeepLatest,
    /// What a policy keeps.
    Keep(Retention),
    /// Nothing, not even what is pinned: like deleting each thread.
    Delete,
}

/// Asks to remove old checkpoints of threads.
///
/// # Examples
///
/// ```
/// use checkpointer::{Checkpointer, Prune, PruneStrategy, Retention};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let threads = ["support-4711", "support-4712"];
/// let last_ten = PruneStrategy::Keep(Retention::keep_last(10).fork_tips());
/// let removed = checkpointer.prune(Prune::new(threads, last_ten)?).await?;
/// removed.complete()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Prune {
    /// The threads; a missing one is passed over. None: all that are due.
    pub thread_ids: Option<Vec<ThreadId>>,
    /// What is left.
    pub strategy: PruneStrategy,
    /// How many threads are looked at, at most, if these are the ones that are due.
    pub limit: Option<usize>,
    /// Whether nothing is removed, and the answer says what would be.
    pub dry_run: bool,
}

impl Prune {
    /// Prunes `thread_ids`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if an id of a thread can't be one.
    pub fn new(
        thread_ids: impl IntoIterator<Item: IntoName<ThreadId>>,
        strategy: PruneStrategy,
    ) -> Result<Self> {
        let thread_ids = thread_ids.into_iter().map(IntoName::into_name);
        Ok(Self {
            thread_ids: Some(thread_ids.collect::<Result<_>>()?),
            strategy,
            limit: None,
            dry_run: false,
        })
    }

    /// Prunes every thread that is due by `policy`, those first that have been unchanged for longest.
    ///
    /// In PostgreSQL only threads are looked at of which the policy may ask something by now: those
    /// that have changed since the last such call with the same policy, and those that have rested for
    /// one of its ages since. Once a week, and with a new policy, all are. Programs take turns: a call
    /// while another program's call is at work changes nothing, and says so
    /// ([`Removed::elsewhere`](crate::Removed::elsewhere)).
    ///
    /// [`RetentionWorker`](crate::RetentionWorker) makes such calls, at a rate that leaves room for
    /// others.
    #[must_use]
    pub fn due(policy: Retention) -> Self {
        Self {
            thread_ids: None,
            strategy: PruneStrategy::Keep(policy),
            limit: None,
            dry_run: false,
        }
    }

    /// Looks at no more than `threads` of those that are due; the next call goes on after them, in
    /// whichever program it is made. Defaults to all.
    #[must_use]
    pub fn limit(self, threads: usize) -> Self {
        Self {
            limit: Some(threads),
            ..self
        }
    }

    /// Chooses whether nothing is removed, and the answer says what would be. Defaults to removing.
    #[must_use]
    pub fn dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }
}
