//! A fork: a new head that follows an earlier checkpoint.

use checkpointer::serde_json::{Map, Value};
use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple, Checkpointer, Metadata, Put,
    Result, Source,
};

/// Puts a checkpoint that follows `from`, with other values in the channels that `changes` names, and
/// makes it the head.
///
/// # Errors
///
/// [`Error::Conflict`](checkpointer::Error::Conflict) if the head is no longer `head`, and what
/// [`Checkpointer::put`] fails with.
///
/// # Cancel safety
///
/// If dropped once polled, the fork may or may not have been put. Calling again makes a second one, or
/// fails with a conflict.
pub async fn fork(
    checkpointer: &dyn Checkpointer,
    from: &CheckpointTuple,
    head: &CheckpointId,
    changes: Map<String, Value>,
) -> Result<CheckpointAddress> {
    let mut fork = Checkpoint::child_of(from);
    fork.write(checkpointer, changes);
    let metadata = metadata(from);
    // All channels are named, so that none is taken from a parent that is pruned meanwhile.
    let versions = fork.channel_versions.clone();
    let put = Put::after(&from.address, &fork, &metadata).new_versions(&versions);
    checkpointer.put(put.expect_head(head)).await
}

/// What is said about a fork: the step after, within the same graphs.
fn metadata(from: &CheckpointTuple) -> Metadata {
    let step = from.metadata.step();
    let metadata = Metadata::new(Source::Fork, step.map_or(0, |step| step.saturating_add(1)));
    match from.metadata.get("parents") {
        Some(parents) => metadata.with("parents", parents.clone()),
        None => metadata,
    }
}
