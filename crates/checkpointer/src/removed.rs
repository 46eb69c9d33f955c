//! What a removal from several threads has come to.

use std::ops::ControlFlow;

use db::SqlState;

use crate::{Error, Result, ThreadId};

/// What a [`prune`](crate::Checkpointer::prune) or a
/// [`delete_for_runs`](crate::Checkpointer::delete_for_runs) has done, and what it hasn't.
///
/// A thread that fails doesn't stop the rest: it is in `failed`, with the reason. When the database
/// can't be used at all, the threads that were left are in `untried`.
///
/// The counts are of what this call is known to have removed, or would have removed if it was a dry run.
/// If the answer to a commit was lost, what that commit removed isn't counted, although it is gone.
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
    /// How many bytes of checkpoints, pending writes and chunks were removed.
    ///
    /// In PostgreSQL it is the size of what the rows hold (states, metadata, values, chunks), as it was
    /// stored there, compressed; without keys, row headers and indexes. A chunk counts once nothing in
    /// its thread refers to it any more. The room is free for new rows after the next vacuum. In memory
    /// it is the length of what was removed as JSON.
    pub bytes: u64,
    /// How many threads were looked at.
    pub examined: u64,
    /// Whether threads are left that are due, because of [`Prune::limit`](crate::Prune::limit).
    pub more: bool,
    /// Whether nothing was done because another call is at work with the same policy, in this program
    /// or in another.
    pub elsewhere: bool,
    /// The threads with which something failed, in the order in which they were tried. What was removed
    /// from them before is counted.
    pub failed: Vec<NotRemoved>,
    /// The threads that weren't tried, because the last of `failed` would be the reason for each.
    pub untried: Vec<ThreadId>,
}

/// A thread from which not all was removed.
#[derive(Debug)]
#[non_exhaustive]
pub struct NotRemoved {
    /// The thread.
    pub thread_id: ThreadId,
    /// The reason, such as [`Error::LeaseHeld`].
    pub error: Error,
}

impl NotRemoved {
    /// Says why not all was removed from a thread, for those who write a checkpointer.
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

    /// The same for a thread that was deleted.
    pub(crate) fn of_thread(self) -> Self {
        Self { threads: 1, ..self }
    }

    /// Adds what was removed by a further step.
    pub(crate) fn count(&mut self, further: &Self) {
        self.checkpoints += further.checkpoints;
        self.writes += further.writes;
        self.threads += further.threads;
        self.bytes += further.bytes;
    }

    /// Takes a thread's outcome into account, and says whether the next thread may do better.
    pub(crate) fn add(&mut self, thread_id: ThreadId, outcome: Result<Self>) -> ControlFlow<()> {
        self.examined += 1;
        self.take(thread_id, outcome)
    }

    /// The same for a thread that was swept only, after a removal that was cut short.
    pub(crate) fn add_swept(
        &mut self,
        thread_id: ThreadId,
        part: &Self,
        outcome: Result<()>,
    ) -> ControlFlow<()> {
        self.count(part);
        self.take(thread_id, outcome.map(|()| Self::default()))
    }

    fn take(&mut self, thread_id: ThreadId, outcome: Result<Self>) -> ControlFlow<()> {
        match outcome {
            Ok(one) => {
                self.count(&one);
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

    /// Whether the last failure would be that of each further thread.
    pub(crate) fn is_cut_short(&self) -> bool {
        let last = self.failed.last();
        last.is_some_and(|failed| !is_about_the_thread(&failed.error))
    }

    /// The same for a thread from which something was removed, whatever came of the rest.
    pub(crate) fn add_in_part(
        &mut self,
        thread_id: ThreadId,
        part: &Self,
        outcome: Result<()>,
    ) -> ControlFlow<()> {
        self.count(part);
        self.add(thread_id, outcome.map(|()| Self::default()))
    }
}

/// Whether another thread may do better: the server has answered, and what it says doesn't pass for
/// all threads at once. Else each further thread would wait for the whole retry time.
pub(crate) fn is_about_the_thread(error: &Error) -> bool {
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
