//! Asks for threads to be verified.

use crate::{IntoName, Result, ThreadId};

/// Asks for everything of threads to be read and checked: of one, or of all.
///
/// # Examples
///
/// ```
/// use checkpointer::futures_util::TryStreamExt;
/// use checkpointer::{Checkpointer, Verify};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// # checkpointer.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
/// let mut threads = checkpointer.verify(Verify::all());
/// while let Some(thread) = threads.try_next().await? {
///     for finding in &thread.findings {
///         println!("{}: {}: {}", thread.thread_id, finding.kind, finding.what);
///         println!("  {}", finding.kind.advice());
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Verify {
    /// Only this thread.
    pub thread_id: Option<ThreadId>,
    /// Only the threads that come after this one, by the bytes of their ids.
    pub after: Option<ThreadId>,
    /// Whether what can be repaired without loss is repaired.
    pub repair: bool,
}

impl Verify {
    /// Verifies all threads, in the order of the bytes of their ids.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Verifies one thread.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn thread(thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            thread_id: Some(thread_id.into_name()?),
            ..Self::default()
        })
    }

    /// Goes on after a thread, such as the last one of a verification that was stopped. Defaults to
    /// the start.
    #[must_use]
    pub fn after(self, thread_id: ThreadId) -> Self {
        Self {
            after: Some(thread_id),
            ..self
        }
    }

    /// Repairs what can be repaired without loss: [`FindingKind::is_repairable`] says which findings
    /// these are. Nothing is removed that a call could still read. Defaults to no.
    ///
    /// [`FindingKind::is_repairable`]: crate::FindingKind::is_repairable
    #[must_use]
    pub fn repair(self, repair: bool) -> Self {
        Self { repair, ..self }
    }
}
