//! What becomes of deleted threads.

/// What becomes of a deleted thread, as far as late writes are concerned.
///
/// # Examples
///
/// ```
/// use checkpointer::{
///     CheckpointAddress, Checkpointer, DeleteThread, DeletedThreads, MemoryCheckpointer, PutWrites,
///     TaskId,
/// };
/// use checkpointer::serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> checkpointer::Result<()> {
/// // For a runtime that saves in the background and knows of no generation.
/// let checkpointer = MemoryCheckpointer::new().deleted_threads(DeletedThreads::Forgotten);
/// checkpointer.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
/// checkpointer.delete_thread(DeleteThread::new("support-4711")?).await?;
///
/// // A new run stores a task's output, and then the checkpoint that the task ran on.
/// let address = CheckpointAddress::new("support-4711", "1f1e75c6")?;
/// let writes = [("draft".to_owned(), json!("Dear customer"))];
/// checkpointer.put_writes(PutWrites::new(&address, &TaskId::new("draft")?, &writes)).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DeletedThreads {
    /// It is remembered: only a first checkpoint starts it again, and late writes of its former runs fail
    /// with [`Error::ThreadDeleted`](crate::Error::ThreadDeleted).
    #[default]
    Remembered,
    /// It is as if it had never been: every put and all pending writes that name no generation start it
    /// again, whatever comes first. So a late write of a former run brings the thread back with what it
    /// writes.
    ///
    /// A call that names a generation, and a put that expects a head, are refused as ever. Copying onto
    /// a deleted thread is refused too.
    Forgotten,
}

impl DeletedThreads {
    pub(crate) fn are_forgotten(self) -> bool {
        self == Self::Forgotten
    }
}
