//! Asks to be told of new heads.

use crate::{CheckpointNs, HeadChange, IntoName, Result, ThreadId};

/// Asks to be told when heads change: those of one thread, or those of all.
///
/// # Examples
///
/// ```
/// use checkpointer::futures_util::StreamExt;
/// use checkpointer::{Checkpointer, HeadChange, MemoryCheckpointer, Watch};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// let checkpointer = MemoryCheckpointer::new();
/// let mut changes = checkpointer.watch(Watch::thread("support-4711")?).await?;
///
/// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
/// thread.save(&vec!["Where is my order?".to_owned()]).await?;
///
/// if let Some(HeadChange::Moved(head)) = changes.next().await.transpose()? {
///     println!("the head is {}", head.checkpoint_id);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Watch {
    /// Only the heads of this thread.
    pub thread_id: Option<ThreadId>,
    /// Only those in this namespace.
    pub checkpoint_ns: Option<CheckpointNs>,
}

impl Watch {
    /// Watches all threads.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Watches one thread, which needn't exist yet. The stream begins with the heads that it has.
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

    /// Keeps to one namespace. Defaults to all.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: impl Into<CheckpointNs>) -> Self {
        Self {
            checkpoint_ns: Some(checkpoint_ns.into()),
            ..self
        }
    }

    /// Whether the watch is to be told of a change, for those who write a checkpointer.
    pub fn wants(&self, change: &HeadChange) -> bool {
        let watched = self.thread_id.as_ref();
        watched.is_none_or(|watched| watched == change.thread_id())
            && match (&self.checkpoint_ns, change) {
                (Some(watched), HeadChange::Moved(head)) => *watched == head.checkpoint_ns,
                _ => true,
            }
    }
}
