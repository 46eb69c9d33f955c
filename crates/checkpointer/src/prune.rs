//! Which checkpoints stay when old ones are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::iter;

use crate::{CheckpointId, CheckpointNs};

/// What a checkpoint needs of others, and others of it.
#[derive(Debug, Default)]
pub(crate) struct Node<'a> {
    pub(crate) parent: Option<&'a CheckpointId>,
    /// The channels that have a value.
    pub(crate) filled: BTreeSet<&'a str>,
    /// The channels that have a version and no value.
    pub(crate) empty: BTreeSet<&'a str>,
    /// The channels its pending writes are for.
    pub(crate) written: BTreeSet<&'a str>,
    /// Whether it is of a format in which the sends are read from the parent's writes.
    pub(crate) reads_sends_of_parent: bool,
    /// The root graph's checkpoint that a subgraph's belongs to.
    pub(crate) root: Option<&'a str>,
}

/// The checkpoints of one namespace.
#[derive(Debug, Default)]
pub(crate) struct Nodes<'a>(pub(crate) BTreeMap<&'a str, Node<'a>>);

/// The ids of the checkpoints that stay.
pub(crate) type Kept<'a> = BTreeSet<&'a str>;

/// The channel in which old formats keep their sends.
const SENDS: &str = "__pregel_tasks";

impl<'a> Nodes<'a> {
    /// Walks from the parent of `id` to the first checkpoint; stored links may form a ring.
    fn ancestors(&self, id: &str) -> impl Iterator<Item = (&'a str, &Node<'a>)> {
        let parent_of = |id: &str| {
            let parent = self.0.get(id)?.parent?.as_str();
            Some((parent, self.0.get(parent)?))
        };
        iter::successors(parent_of(id), move |(id, _)| parent_of(id)).take(self.0.len())
    }

    /// Adds the ancestors whose writes the checkpoints `kept` are rebuilt from.
    ///
    /// A channel with a version and no value was either emptied or is stored as writes. It is the
    /// latter if there are writes for it since the nearest ancestor that has a value.
    pub(crate) fn with_needed(&self, kept: Kept<'a>) -> Kept<'a> {
        let mut needed = kept.clone();
        for id in kept {
            let Some(node) = self.0.get(id) else { continue };
            for channel in &node.empty {
                let mut chain = Vec::new();
                let mut needed_of_chain = 0;
                let mut written = false;
                for (ancestor, node) in self.ancestors(id) {
                    chain.push(ancestor);
                    let seeds = node.filled.contains(channel);
                    written |= node.written.contains(channel);
                    if node.written.contains(channel) || (seeds && written) {
                        needed_of_chain = chain.len();
                    }
                    if seeds {
                        break;
                    }
                }
                needed.extend(&chain[..needed_of_chain]);
            }
        }
        needed
    }
}

/// Chooses what stays when only the heads are to stay.
///
/// A namespace with a `:` belongs to one call of a subgraph: it goes as a whole when the root
/// graph's checkpoint it belongs to is stored and doesn't stay.
pub(crate) fn latest<'a>(
    thread: &BTreeMap<&'a CheckpointNs, (Option<&'a CheckpointId>, Nodes<'a>)>,
) -> BTreeMap<&'a CheckpointNs, Kept<'a>> {
    let roots = thread.get(&CheckpointNs::ROOT);
    let kept_roots = roots.map(|(head, nodes)| latest_of(*head, nodes));
    let is_over = |ns: &CheckpointNs, head: Option<&CheckpointId>, nodes: &Nodes<'a>| {
        let root = head
            .and_then(|head| nodes.0.get(head.as_str()))
            .and_then(|head| head.root);
        match (root, roots, &kept_roots) {
            (Some(root), Some((_, roots)), Some(kept)) => {
                ns.as_str().contains(':') && roots.0.contains_key(root) && !kept.contains(root)
            }
            _ => false,
        }
    };
    thread
        .iter()
        .map(|(ns, (head, nodes))| {
            if is_over(ns, *head, nodes) {
                (*ns, Kept::new())
            } else {
                (*ns, latest_of(*head, nodes))
            }
        })
        .collect()
}

fn latest_of<'a>(head: Option<&'a CheckpointId>, nodes: &Nodes<'a>) -> Kept<'a> {
    let mut kept: Kept<'a> = head.into_iter().map(CheckpointId::as_str).collect();
    if let Some(head) = head.and_then(|head| nodes.0.get(head.as_str()))
        && head.reads_sends_of_parent
        && let Some(parent) = head.parent
        && let Some(node) = nodes.0.get(parent.as_str())
        && node.written.contains(SENDS)
    {
        kept.insert(parent.as_str());
    }
    nodes.with_needed(kept)
}

#[cfg(test)]
mod tests;
