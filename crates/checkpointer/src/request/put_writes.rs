//! Asks to store the outputs of a task.

use serde_json::Value;

use crate::{CheckpointAddress, Lease, TaskId};

/// Asks to store the outputs of a task.
///
/// # Examples
///
/// ```
/// use checkpointer::serde_json::json;
/// use checkpointer::{CheckpointTuple, Checkpointer, PutWrites, Result, TaskId};
///
/// /// Runs a task, unless its output is stored already.
/// async fn run(
///     checkpointer: &dyn Checkpointer,
///     at: &CheckpointTuple,
///     task_id: &TaskId,
/// ) -> Result<()> {
///     if at.pending_writes.iter().any(|write| write.task_id == *task_id) {
///         return Ok(());
///     }
///     let writes = [("draft".to_owned(), json!("Dear customer"))];
///     checkpointer.put_writes(PutWrites::new(&at.address, task_id, &writes)).await
/// }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PutWrites<'a> {
    /// The checkpoint the task ran on; it may be stored later.
    pub address: &'a CheckpointAddress,
    /// The task.
    pub task_id: &'a TaskId,
    /// Where in the graph the task stands; writes are ordered by it.
    pub task_path: &'a str,
    /// Channels and values, in the task's order.
    pub writes: &'a [(String, Value)],
    /// The lease on the thread.
    pub lease: Option<&'a Lease>,
}

impl<'a> PutWrites<'a> {
    /// Stores `writes` of the task `task_id`.
    #[must_use]
    pub fn new(
        address: &'a CheckpointAddress,
        task_id: &'a TaskId,
        writes: &'a [(String, Value)],
    ) -> Self {
        Self {
            address,
            task_id,
            task_path: "",
            writes,
            lease: None,
        }
    }

    /// Names the task's path. Defaults to the empty path.
    #[must_use]
    pub fn task_path(self, task_path: &'a str) -> Self {
        Self { task_path, ..self }
    }

    /// Carries the lease on the thread. Defaults to none.
    #[must_use]
    pub fn lease(self, lease: &'a Lease) -> Self {
        Self {
            lease: Some(lease),
            ..self
        }
    }
}
