//! Asks for one checkpoint.

use crate::{
    CheckpointAddress, CheckpointId, CheckpointNs, IntoName, Projection, Result, ThreadId,
};

/// Asks for one checkpoint: a thread's head, or the one with an id.
///
/// # Examples
///
/// ```
/// use checkpointer::{Checkpointer, GetTuple, Projection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// # checkpointer.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
/// let head = checkpointer.get_tuple(GetTuple::head("support-4711")?).await?;
///
/// if let Some(head) = head {
///     let query = GetTuple::at(&head.address).project(Projection::Metadata);
///     let again = checkpointer.get_tuple(query).await?;
///     println!("step {:?}, stored at {}", head.metadata.step(), head.checkpoint.ts);
///     assert_eq!(again.map(|again| again.metadata), Some(head.metadata));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GetTuple {
    /// The thread.
    pub thread_id: ThreadId,
    /// The namespace.
    pub checkpoint_ns: CheckpointNs,
    /// The checkpoint; the head if there is none.
    pub checkpoint_id: Option<CheckpointId>,
    /// How much of it.
    pub projection: Projection,
}

impl GetTuple {
    /// Reads the head of the thread's root namespace.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn head(thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            checkpoint_ns: CheckpointNs::ROOT,
            checkpoint_id: None,
            projection: Projection::All,
        })
    }

    /// Reads the checkpoint at an address.
    #[must_use]
    pub fn at(address: &CheckpointAddress) -> Self {
        Self {
            thread_id: address.thread_id.clone(),
            checkpoint_ns: address.checkpoint_ns.clone(),
            checkpoint_id: Some(address.checkpoint_id.clone()),
            projection: Projection::All,
        }
    }

    /// Names the namespace. Defaults to the root namespace.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: impl Into<CheckpointNs>) -> Self {
        Self {
            checkpoint_ns: checkpoint_ns.into(),
            ..self
        }
    }

    /// Names the checkpoint. Defaults to the head.
    #[must_use]
    pub fn checkpoint_id(self, checkpoint_id: impl Into<CheckpointId>) -> Self {
        Self {
            checkpoint_id: Some(checkpoint_id.into()),
            ..self
        }
    }

    /// Chooses how much is read. Defaults to everything.
    #[must_use]
    pub fn project(self, projection: Projection) -> Self {
        Self { projection, ..self }
    }
}
