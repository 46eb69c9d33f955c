//! Which outputs of a task are stored, if it stores some twice.

/// Which outputs of a task are stored, if it stores some on one checkpoint in several calls. A write to
/// a special [channel](crate::channels) replaces the one before it in any case.
///
/// # Examples
///
/// ```
/// use checkpointer::serde_json::json;
/// use checkpointer::{
///     Checkpoint, CheckpointId, Checkpointer, GetTuple, MemoryCheckpointer, Metadata, Put, PutWrites,
///     TaskId, TaskOutputs, ThreadId,
/// };
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> checkpointer::Result<()> {
/// let checkpointer = MemoryCheckpointer::new().task_outputs(TaskOutputs::ByPosition);
/// let (thread_id, metadata) = (ThreadId::new("support-4711")?, Metadata::default());
/// let checkpoint = Checkpoint::new(CheckpointId::generate(None));
/// let address = checkpointer.put(Put::new(&thread_id, &checkpoint, &metadata)).await?;
///
/// // A runtime that stores all that there is so far, each time.
/// let task_id = TaskId::new("draft")?;
/// let mut outputs = vec![("log".to_owned(), json!("asked"))];
/// checkpointer.put_writes(PutWrites::new(&address, &task_id, &outputs)).await?;
/// outputs.push(("log".to_owned(), json!("answered")));
/// checkpointer.put_writes(PutWrites::new(&address, &task_id, &outputs)).await?;
///
/// let tuple = checkpointer.get_tuple(GetTuple::at(&address)).await?;
/// assert_eq!(tuple.map(|tuple| tuple.pending_writes.len()), Some(2));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TaskOutputs {
    /// Those of the first call, as a whole: never a mix of two executions of the task.
    #[default]
    OfFirstCall,
    /// At each position those of the first call that has it: a later call adds what it has beyond. It is
    /// LangGraph's rule, whose runtime stores a growing list again and again.
    ByPosition,
}
