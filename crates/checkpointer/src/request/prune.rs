//! Asks to remove old checkpoints.

use crate::{IntoName, Result, ThreadId};

/// What a prune leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PruneStrategy {
    /// The latest checkpoint of each namespace, with what it needs.
    KeepLatest,
    /// Nothing: like deleting each thread.
    Delete,
}

/// Asks to remove old checkpoints of threads.
///
/// # Examples
///
/// ```
/// use checkpointer::{Checkpointer, Prune, PruneStrategy};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// let threads = ["support-4711", "support-4712"];
/// let removed = checkpointer.prune(Prune::new(threads, PruneStrategy::KeepLatest)?).await?;
/// removed.complete()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Prune {
    /// The threads; a missing one is passed over.
    pub thread_ids: Vec<ThreadId>,
    /// What is left.
    pub strategy: PruneStrategy,
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
        Ok(Self {
            thread_ids: thread_ids
                .into_iter()
                .map(IntoName::into_name)
                .collect::<Result<_>>()?,
            strategy,
        })
    }
}
