//! The names of channels that have a meaning of their own, as LangGraph has them.
//!
//! The first four are for pending writes: what a runtime notes about a task, rather than the task's
//! output. Such a write replaces the one before it. Of regular writes those of the first call stay.
//!
//! # Examples
//!
//! A task asks a person, and its thread waits. The answer is stored the same way; the task runs again and
//! finds it:
//!
//! ```
//! use checkpointer::channels::{INTERRUPT, RESUME};
//! use checkpointer::serde_json::{Value, json};
//! use checkpointer::{CheckpointTuple, Checkpointer, PutWrites, Result, TaskId};
//!
//! async fn ask(checkpointer: &dyn Checkpointer, at: &CheckpointTuple, task: &TaskId) -> Result<()> {
//!     let question = [(INTERRUPT.to_owned(), json!("Refund the order?"))];
//!     checkpointer.put_writes(PutWrites::new(&at.address, task, &question)).await
//! }
//!
//! async fn answer(
//!     checkpointer: &dyn Checkpointer,
//!     at: &CheckpointTuple,
//!     task: &TaskId,
//!     answer: Value,
//! ) -> Result<()> {
//!     let answers = [(RESUME.to_owned(), json!([answer]))];
//!     checkpointer.put_writes(PutWrites::new(&at.address, task, &answers)).await
//! }
//!
//! /// What a person has answered to the task.
//! fn answered<'a>(at: &'a CheckpointTuple, task: &TaskId) -> Option<&'a Value> {
//!     let mut writes = at.pending_writes.iter();
//!     let write = writes.find(|write| write.task_id == *task && write.channel == RESUME)?;
//!     write.value.get(0)
//! }
//! ```

/// The error a task ended with.
pub const ERROR: &str = "__error__";

/// What a task has scheduled.
pub const SCHEDULED: &str = "__scheduled__";

/// The question at which a task stopped.
pub const INTERRUPT: &str = "__interrupt__";

/// The answers to a task's questions.
pub const RESUME: &str = "__resume__";

/// The only channel of a state that isn't a struct.
pub const ROOT: &str = "__root__";
