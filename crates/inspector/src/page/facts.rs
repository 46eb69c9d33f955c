//! What is known of a checkpoint without its values: node, step, source, time and what changed.

use checkpointer::serde_json::Value;
use checkpointer::{Checkpoint, CheckpointTuple};

use super::shown;

/// What is known of a checkpoint without its values.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) node: String,
    pub(super) step: Option<i64>,
    pub(super) source: String,
    pub(super) time: String,
    pub(super) changed: Vec<String>,
}

impl Facts {
    /// Gathers them from a checkpoint and its parent, where that was read.
    pub(super) fn of(tuple: &CheckpointTuple, parent: Option<&CheckpointTuple>) -> Self {
        let source = tuple.metadata.source().unwrap_or("checkpoint");
        let parent = parent.map(|parent| &parent.checkpoint);
        let nodes: Vec<_> = nodes(tuple, parent)
            .iter()
            .map(|node| shown::start(node, 60))
            .collect();
        Self {
            node: match nodes.is_empty() {
                true => shown::start(source, 60),
                false => nodes.join(", "),
            },
            step: tuple.metadata.step(),
            source: shown::start(source, 40),
            time: shown::time(&tuple.checkpoint.ts),
            changed: changed(&tuple.checkpoint, parent)
                .iter()
                .map(|name| shown::start(name, 60))
                .collect(),
        }
    }
}

/// The nodes whose step this is: as the runtime says, or those that have seen something new.
fn nodes(tuple: &CheckpointTuple, parent: Option<&Checkpoint>) -> Vec<String> {
    let metadata = &tuple.metadata;
    if let Some(node) = metadata
        .get("node")
        .or_else(|| metadata.get("langgraph_node"))
        .and_then(Value::as_str)
    {
        return vec![node.to_owned()];
    }
    if let Some(writes) = metadata.get("writes").and_then(Value::as_object) {
        return writes
            .keys()
            .filter(|node| !is_inner(node))
            .cloned()
            .collect();
    }
    let seen_before = |node: &str| parent.and_then(|parent| parent.versions_seen.get(node));
    let seen = tuple.checkpoint.versions_seen.iter();
    let seen = seen.filter(|(node, seen)| {
        parent.is_some() && !is_inner(node) && seen_before(node) != Some(seen)
    });
    seen.map(|(node, _)| node.clone()).collect()
}

/// The channels that the step changed, without those that the runtime keeps for itself.
fn changed(checkpoint: &Checkpoint, parent: Option<&Checkpoint>) -> Vec<String> {
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
pub(super) fn changed_versions<'a>(
    checkpoint: &'a Checkpoint,
    parent: &'a Checkpoint,
) -> impl Iterator<Item = &'a String> {
    let versions = checkpoint.channel_versions.iter();
    let changed = versions
        .filter(|(channel, version)| parent.channel_versions.get(*channel) != Some(*version));
    changed.map(|(channel, _)| channel)
}

/// Whether a runtime has the name for itself.
pub(super) fn is_inner(name: &str) -> bool {
    name.starts_with("__") || name.starts_with("branch:")
}
