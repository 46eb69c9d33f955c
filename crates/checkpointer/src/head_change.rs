//! What those who watch are told.

use crate::{CheckpointAddress, Generation, ThreadId};

/// A change of a thread's heads, as [`Checkpointer::watch`](crate::Checkpointer::watch) tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadChange {
    /// A namespace has another head: a checkpoint was put, or the head was removed and an earlier
    /// checkpoint is the head again. The address has the thread's generation.
    Moved(CheckpointAddress),
    /// The thread was deleted.
    #[non_exhaustive]
    Deleted {
        /// The thread.
        thread_id: ThreadId,
        /// The generation that has ended.
        generation: Generation,
    },
}

impl HeadChange {
    /// Says that a thread was deleted, for those who write a checkpointer.
    #[must_use]
    pub fn deleted(thread_id: &ThreadId, generation: Generation) -> Self {
        let thread_id = thread_id.clone();
        Self::Deleted {
            thread_id,
            generation,
        }
    }

    /// The thread.
    pub fn thread_id(&self) -> &ThreadId {
        match self {
            Self::Moved(head) => &head.thread_id,
            Self::Deleted { thread_id, .. } => thread_id,
        }
    }
}
