//! A fork that becomes a thread of its own.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lease::Carried;
use super::{Position, Thread};
use crate::{
    CheckpointAddress, CheckpointId, CheckpointTuple, IntoName, Metadata, Put, Result, Source,
    ThreadId,
};

/// The key of a checkpoint's metadata that says which one it was forked from.
const FORKED_FROM: &str = "forked_from";

impl<State: Serialize + DeserializeOwned> Thread<State> {
    /// Begins a new thread with the state at a checkpoint, and returns its handle with the state. This
    /// thread stays as it is. [`fork`](Self::fork) makes a branch of the same thread instead.
    ///
    /// The first checkpoint of the new thread has the id of the one that it is forked from, and says so
    /// in its metadata, by `forked_from` with `thread_id` and `checkpoint_id`. What was saved before it
    /// isn't copied: [`copy_thread`](crate::Checkpointer::copy_thread) takes it along.
    ///
    /// # Errors
    ///
    /// As [`at`](Self::at); [`Error::Conflict`](crate::Error::Conflict) if the new thread has checkpoints
    /// already, [`Error::LeaseHeld`](crate::Error::LeaseHeld) if another program has a lease on it.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, or after an error whose outcome is unknown, the new thread may or may not
    /// have been made. Calling again is harmless.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
    /// let asked = thread.save(&vec!["Where is my order?".to_owned()]).await?;
    /// thread.update(|messages| messages.push("On its way.".to_owned())).await?;
    ///
    /// let (mut other, mut messages) =
    ///     thread.fork_into("support-4711-b", &asked.checkpoint_id).await?;
    /// messages.push("It was lost.".to_owned());
    /// other.save(&messages).await?;
    /// assert_eq!(thread.load().await?.map(|messages| messages.len()), Some(2));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn fork_into(
        &self,
        thread_id: impl IntoName<ThreadId>,
        checkpoint_id: &CheckpointId,
    ) -> Result<(Self, State)> {
        let mut forked = self.sibling(thread_id.into_name()?);
        let tuple = self.tuple(checkpoint_id).await?;
        // What can't be read isn't forked.
        self.open(tuple.clone(), Source::Fork)?;
        let metadata = forked_from(&tuple);
        let put = Put::new(&forked.thread_id, &tuple.checkpoint, &metadata);
        let put = put.new_versions(&tuple.checkpoint.channel_versions);
        let address = self.checkpointer.put(put.expect_no_head()).await?;
        let first = CheckpointTuple::new(address, tuple.checkpoint, metadata);
        let head = Some(first.address.checkpoint_id.clone());
        let (parent, state) = forked.open(first, Source::Update)?;
        forked.position = Position {
            parent: Some(parent),
            head,
        };
        Ok((forked, state))
    }

    /// A handle of another thread, which reads and saves as this one does, but without its lease.
    fn sibling(&self, thread_id: ThreadId) -> Self {
        Self {
            checkpointer: Arc::clone(&self.checkpointer),
            thread_id,
            shape: self.shape.clone(),
            position: Position::default(),
            attempt: None,
            uncommitted: Vec::new(),
            lease: Carried::default(),
            owns_all: self.owns_all,
            last: None,
        }
    }
}

/// What the first checkpoint says of itself: as much as the one that it is forked from, and where that
/// is.
fn forked_from(tuple: &CheckpointTuple) -> Metadata {
    let CheckpointAddress {
        thread_id,
        checkpoint_id,
        ..
    } = &tuple.address;
    let address = serde_json::json!({
        "thread_id": thread_id.as_str(),
        "checkpoint_id": checkpoint_id.as_str(),
    });
    let own = Metadata::new(Source::Fork, -1).with(FORKED_FROM, address);
    let mut metadata = tuple.metadata.as_map().clone();
    metadata.extend(own.into_map());
    Metadata::from(metadata)
}
