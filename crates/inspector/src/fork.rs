//! A fork: a new head that follows an earlier checkpoint.

use checkpointer::serde_json::{Map, Value};
use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple, Checkpointer, Metadata, Put,
    Result, Source,
};

/// The key of the metadata under which LangGraph counts the writes to each `DeltaChannel` since its last
/// snapshot. A checkpoint that has it keeps such a channel without a value.
const DELTAS: &str = "counters_since_delta_snapshot";

/// Puts a checkpoint that follows `from`, with other values in the channels that `changes` names, and
/// makes it the head.
///
/// Where LangGraph keeps a channel as what was written to it (`DeltaChannel`), the fork follows the parent
/// of `from`, as LangGraph's own copy does.
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
    let mut put = Put::after(&from.address, &fork, &metadata).new_versions(&versions);
    if from.metadata.get(DELTAS).is_some() {
        // Such a channel is what was written at all that come before. `from` has the writes of the checkpoint
        // after it, which the fork would have as well if it followed `from`.
        let parent = from.parent_address.as_ref();
        put.parent = parent.map(|parent| &parent.checkpoint_id);
    }
    checkpointer.put(put.expect_head(head)).await
}

/// What is said about a fork: the step after, within the same graphs, as long after the last snapshots.
fn metadata(from: &CheckpointTuple) -> Metadata {
    let step = from.metadata.step();
    let metadata = Metadata::new(Source::Fork, step.map_or(0, |step| step.saturating_add(1)));
    let kept = ["parents", DELTAS].into_iter();
    kept.fold(metadata, |metadata, key| match from.metadata.get(key) {
        Some(value) => metadata.with(key, value.clone()),
        None => metadata,
    })
}

#[cfg(test)]
mod tests;
