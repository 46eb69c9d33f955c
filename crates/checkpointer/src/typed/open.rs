//! Opening a thread, on any checkpointer.

use std::sync::Arc;

use super::lease::Carried;
use super::shape::Shape;
use super::{Position, Thread};
use crate::{Checkpointer, IntoName, MemoryCheckpointer, PostgresCheckpointer, Result, ThreadId};

impl<State> Thread<State> {
    /// Opens a thread on any checkpointer. Nothing is read or written yet.
    ///
    /// [`PostgresCheckpointer`], [`MemoryCheckpointer`] and `Arc<dyn Checkpointer>` have a method
    /// `thread` that does the same.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the id can't be one.
    pub fn new(
        checkpointer: impl Checkpointer,
        thread_id: impl IntoName<ThreadId>,
    ) -> Result<Self> {
        Ok(Self {
            checkpointer: Arc::new(checkpointer),
            thread_id: thread_id.into_name()?,
            shape: Shape::default(),
            position: Position::default(),
            attempt: None,
            uncommitted: Vec::new(),
            lease: Carried::default(),
            owns_all: false,
            last: None,
        })
    }
}

impl PostgresCheckpointer {
    /// Opens a thread whose state is a Rust type: see [`Thread`]. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the id can't be one.
    pub fn thread<State>(&self, thread_id: impl IntoName<ThreadId>) -> Result<Thread<State>> {
        Thread::new(self.clone(), thread_id)
    }
}

impl MemoryCheckpointer {
    /// Opens a thread whose state is a Rust type: see [`Thread`]. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the id can't be one.
    pub fn thread<State>(&self, thread_id: impl IntoName<ThreadId>) -> Result<Thread<State>> {
        Thread::new(self.clone(), thread_id)
    }
}

impl dyn Checkpointer {
    /// Opens a thread whose state is a Rust type: see [`Thread`]. Nothing is read or written yet.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the id can't be one.
    pub fn thread<State>(
        self: &Arc<Self>,
        thread_id: impl IntoName<ThreadId>,
    ) -> Result<Thread<State>> {
        Thread::new(Arc::clone(self), thread_id)
    }
}
