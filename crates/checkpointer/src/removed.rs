//! What a removal from several threads has come to.

use std::ops::ControlFlow;

use db::SqlState;

use crate::{Error, Result, ThreadId};

/// What a [`prune`](crate::Checkpointer::prune) or a
/// [`delete_for_runs`](crate::Checkpointer::delete_for_runs) has done, and what it hasn't.
///
/// A thread from which nothing could be removed doesn't stop the rest: it is in `failed`, with the
/// reason. When the database can't be used at all, the threads that were left are in `untried`.
///
/// The counts are of what this call is known to have removed. If the answer to a commit was lost, what
/// that commit removed isn't counted, although it is gone.
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
/// let removed = checkpointer.prune(Prune::new(threads, PruneStrategy::Delete)?).await?;
/// println!("{} threads deleted", removed.threads);
/// for failed in &removed.failed {
///     println!("{}: {}", failed.thread_id, failed.error);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
#[must_use = "some threads may have failed: look at `failed`, or call `complete`"]
#[non_exhaustive]
pub struct Removed {
    /// How many checkpoints were removed.
    pub checkpoints: u64,
    /// How many pending writes were removed.
    pub writes: u64,
    /// How many threads were deleted as a whole.
    pub threads: u64,
    /// The threads from which nothing was removed, in the order in which they were tried.
    pub failed: Vec<NotRemoved>,
    /// The threads that weren't tried, because the last of `failed` would be the reason for each.
    pub untried: Vec<ThreadId>,
}

/// A thread from which nothing was removed.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotRemoved {
    /// The thread.
    pub thread_id: ThreadId,
    /// The reason, such as [`Error::LeaseHeld`].
    pub error: Error,
}

impl NotRemoved {
    /// Says why nothing was removed from a thread, for those who write a checkpointer.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{Error, NotRemoved, Removed, ThreadId};
    ///
    /// let thread_id = ThreadId::new("support-4711")?;
    /// let busy = Error::busy(&thread_id);
    ///
    /// let mut removed = Removed::default();
    /// removed.checkpoints += 3;
    /// removed.failed.push(NotRemoved::new(thread_id, busy));
    /// assert!(matches!(removed.complete(), Err(Error::Busy { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn new(thread_id: ThreadId, error: Error) -> Self {
        Self { thread_id, error }
    }
}

impl Removed {
    /// Turns the first failure into an error, for a caller that needs all of it done.
    ///
    /// # Errors
    ///
    /// The error of the first thread in `failed`.
    pub fn complete(self) -> Result<()> {
        match self.failed.into_iter().next() {
            Some(failed) => Err(failed.error),
            None => Ok(()),
        }
    }

    /// What was removed from one thread.
    pub(crate) fn counts(checkpoints: u64, writes: u64) -> Self {
        Self {
            checkpoints,
            writes,
            ..Self::default()
        }
    }

    /// The same for a thread that was deleted.
    pub(crate) fn thread(checkpoints: u64, writes: u64) -> Self {
        Self {
            threads: 1,
            ..Self::counts(checkpoints, writes)
        }
    }

    /// Takes a thread's outcome into account, and says whether the next thread may do better.
    pub(crate) fn add(&mut self, thread_id: ThreadId, outcome: Result<Self>) -> ControlFlow<()> {
        match outcome {
            Ok(one) => {
                self.checkpoints += one.checkpoints;
                self.writes += one.writes;
                self.threads += one.threads;
                ControlFlow::Continue(())
            }
            Err(error) => {
                let control = match is_about_the_thread(&error) {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                };
                self.failed.push(NotRemoved::new(thread_id, error));
                control
            }
        }
    }
}

/// Whether another thread may do better: the server has answered, and what it says doesn't pass for
/// all threads at once. Else each further thread would wait for the whole retry time.
fn is_about_the_thread(error: &Error) -> bool {
    match error {
        Error::Closed => false,
        Error::Database { source, .. } => source
            .code()
            .is_some_and(|code| !source.is_transient() || *code == SqlState::LOCK_NOT_AVAILABLE),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
