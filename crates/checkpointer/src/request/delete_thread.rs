//! Asks to delete a thread.

use crate::{Generation, IntoName, Lease, Result, ThreadId};

/// Asks to delete a thread.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeleteThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// The generation to delete; any if there is none.
    pub generation: Option<Generation>,
    /// The lease on the thread.
    pub lease: Option<Lease>,
}

impl DeleteThread {
    /// Deletes the thread in whatever generation it is.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn new(thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            generation: None,
            lease: None,
        })
    }

    /// Deletes only this generation, the one that was read: a thread that was started again since
    /// stays. Defaults to any.
    #[must_use]
    pub fn generation(self, generation: Generation) -> Self {
        Self {
            generation: Some(generation),
            ..self
        }
    }

    /// Carries the lease on the thread, which outlives the thread. Defaults to none.
    #[must_use]
    pub fn lease(self, lease: &Lease) -> Self {
        Self {
            lease: Some(lease.clone()),
            ..self
        }
    }
}
