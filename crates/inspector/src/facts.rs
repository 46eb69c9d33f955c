//! What is known of a checkpoint without its values: which nodes made it, and what changed.

use checkpointer::serde_json::Value;
use checkpointer::{Checkpoint, CheckpointTuple};

/// The nodes whose step this is: as the runtime says, or those that have seen something new.
pub(crate) fn nodes(tuple: &CheckpointTuple, parent: Option<&Checkpoint>) -> Vec<String> {
    if let Some(nodes) = named_nodes(tuple) {
        return nodes;
    }
    let seen_before = |node: &str| parent.and_then(|parent| parent.versions_seen.get(node));
    let seen = tuple.checkpoint.versions_seen.iter();
    let seen = seen.filter(|(node, seen)| {
        parent.is_some() && !is_inner(node) && seen_before(node) != Some(seen)
    });
    seen.map(|(node, _)| node.clone()).collect()
}

/// The nodes that the metadata names.
fn named_nodes(tuple: &CheckpointTuple) -> Option<Vec<String>> {
    let metadata = &tuple.metadata;
    let node = metadata
        .get("node")
        .or_else(|| metadata.get("langgraph_node"));
    if let Some(node) = node.and_then(Value::as_str) {
        return Some(vec![node.to_owned()]);
    }
    let writes = metadata.get("writes")?.as_object()?.keys();
    Some(writes.filter(|node| !is_inner(node)).cloned().collect())
}

/// The channels that the step changed, without those that the runtime keeps for itself.
pub(crate) fn changed(checkpoint: &Checkpoint, parent: Option<&Checkpoint>) -> Vec<String> {
    let all: Vec<&String> = match (&checkpoint.updated_channels, parent) {
        (Some(channels), _) => channels.iter().collect(),
        (None, Some(parent)) => changed_versions(checkpoint, parent).collect(),
        (None, None) => checkpoint.channel_versions.keys().collect(),
    };
    all.into_iter()
        .filter(|channel| !is_inner(channel))
        .cloned()
        .collect()
}

/// The channels whose version isn't the parent's.
pub(crate) fn changed_versions<'a>(
    checkpoint: &'a Checkpoint,
    parent: &'a Checkpoint,
) -> impl Iterator<Item = &'a String> {
    let versions = checkpoint.channel_versions.iter();
    let changed = versions
        .filter(|(channel, version)| parent.channel_versions.get(*channel) != Some(*version));
    changed.map(|(channel, _)| channel)
}

/// Whether a runtime has the name for itself.
pub(crate) fn is_inner(name: &str) -> bool {
    name.starts_with("__") || name.starts_with("branch:")
}

/// Whether nodes or changes are known beside the parent only.
pub(crate) fn need_parent(tuple: &CheckpointTuple) -> bool {
    let is_plain = tuple.checkpoint.updated_channels.is_some() && named_nodes(tuple).is_some();
    tuple.parent_address.is_some() && !is_plain
}
