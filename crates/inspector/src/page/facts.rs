//! What is known of a checkpoint without its values, as it is shown.

use checkpointer::CheckpointTuple;

use super::shown;
use crate::facts::{changed, nodes};

/// How many nodes are named.
const NODES: usize = 6;

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
        let mut nodes: Vec<_> = nodes(tuple, parent)
            .iter()
            .take(NODES + 1)
            .map(|node| shown::start(node, 60))
            .collect();
        if let Some(more) = nodes.get_mut(NODES) {
            "…".clone_into(more);
        }
        Self {
            node: match nodes.is_empty() {
                true => shown::start(source, 60),
                false => nodes.join(", "),
            },
            step: tuple.metadata.step(),
            source: shown::start(source, 40),
            time: shown::made_at(&tuple.checkpoint),
            changed: changed(&tuple.checkpoint, parent)
                .iter()
                .map(|name| shown::start(name, 60))
                .collect(),
        }
    }
}
