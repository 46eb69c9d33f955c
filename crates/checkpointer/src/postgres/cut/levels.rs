//! The chunks of a large value: its leaves, and the nodes above them.

use super::node::{Node, Replaced};
use super::{FAN_OUT, MAX_FAN_OUT, MAX_PARTS, low_bits};
use crate::codec::{MAX_BYTES, MAX_DEPTH, Measure};
use crate::postgres::chunk::{Kind, Reference, node_hash};

/// What an array or object takes at most besides its items or members, as a value of its own.
const HEAD_BYTES: usize = 32;

/// The chunks of a large value, level by level, and what stands for the value.
#[derive(Debug)]
pub(in crate::postgres) struct Levels {
    /// The leaves first, and those that the reference names last. Of the levels below those perhaps
    /// only the [ends](Self::ends).
    nodes: Vec<Vec<Node>>,
    reference: Reference,
    measure: Measure,
    memory: usize,
}

impl Levels {
    /// Puts nodes above some leaves, of which the first `kept` were below the known nodes, until few
    /// are at the top.
    pub(super) fn above(
        kind: Kind,
        leaves: Vec<Node>,
        mut kept: usize,
        mut known: impl Iterator<Item = Vec<Node>>,
    ) -> Self {
        let mut nodes = vec![leaves];
        let mut top = 0;
        while nodes[top].len() > MAX_PARTS {
            let known = known.next().unwrap_or_default();
            let above;
            (above, kept) = nodes_above(&nodes[top], known, kept);
            nodes.push(above);
            top += 1;
        }
        Self::of(kind, nodes)
    }

    fn of(kind: Kind, nodes: Vec<Vec<Node>>) -> Self {
        let top = nodes.len() - 1;
        let whole = Node::above(&nodes[top]);
        let reference = Reference {
            kind,
            nested: whole.nested,
            depth: u8::try_from(top).unwrap_or(u8::MAX),
            parts: nodes[top].iter().map(|node| node.hash).collect(),
        };
        let measure = Measure {
            hash: reference.hash(),
            depth: whole.depth + 1,
            bytes: reference.bytes(),
            max_bytes: whole.max_bytes + HEAD_BYTES,
        };
        Self {
            nodes,
            reference,
            measure,
            memory: whole.memory,
        }
    }

    /// What an append needs: of each level the nodes that are below the last one of the next level,
    /// and all at the top.
    pub(super) fn ends(&self) -> Self {
        let mut length = usize::MAX;
        let levels = self.nodes.iter().rev().map(|level| {
            let end = level[level.len().saturating_sub(length)..].to_vec();
            length = end.last().map_or(0, |node| node.length);
            end
        });
        let mut nodes: Vec<_> = levels.collect();
        nodes.reverse();
        Self::of(self.reference.kind, nodes)
    }

    /// Replaces the last leaf of a list by others. The ends of the levels are enough for that: the last
    /// node of each one changes, and no other.
    pub(super) fn append(self, leaves: impl IntoIterator<Item = Node>) -> Self {
        let kind = self.reference.kind;
        let mut known = self.nodes.into_iter();
        let mut below = known.next().unwrap_or_default();
        below.pop();
        let mut kept = below.len();
        below.extend(leaves);
        let mut nodes = vec![below];
        let mut top = 0;
        loop {
            let mut level = match known.next() {
                Some(level) => level,
                None if nodes[top].len() > MAX_PARTS => Vec::new(),
                None => return Self::of(kind, nodes),
            };
            let replaced = level.pop().into_iter().collect();
            let (end, _) = nodes_above(&nodes[top], replaced, kept);
            kept = level.len();
            level.extend(end);
            nodes.push(level);
            top += 1;
        }
    }

    pub(in crate::postgres) fn reference(&self) -> &Reference {
        &self.reference
    }

    pub(in crate::postgres) fn nodes(&self) -> &[Vec<Node>] {
        &self.nodes
    }

    pub(super) fn into_nodes(self) -> Vec<Vec<Node>> {
        self.nodes
    }

    /// The last leaf.
    pub(super) fn last_leaf(&self) -> Option<&Node> {
        self.nodes.first()?.last()
    }

    /// The measure of the whole, where its reference stands for it.
    pub(super) fn measure(&self) -> &Measure {
        &self.measure
    }

    /// Whether the value may be too deep or too large, though each of its chunks is not.
    pub(in crate::postgres) fn may_be_too_large(&self) -> bool {
        self.measure.depth > MAX_DEPTH || self.measure.max_bytes > MAX_BYTES
    }

    /// About how much memory the nodes and all items take.
    pub(super) fn memory(&self) -> usize {
        self.memory + self.memory_of_nodes()
    }

    /// About how much memory the nodes take.
    pub(super) fn memory_of_nodes(&self) -> usize {
        let nodes: usize = self.nodes.iter().map(Vec::len).sum();
        nodes * size_of::<Node>()
    }
}

/// Puts nodes above a level, of whose nodes the first `kept` are the same as below the known nodes.
/// Returns the nodes, and how many at the front are known ones.
fn nodes_above(below: &[Node], mut known: Vec<Node>, kept: usize) -> (Vec<Node>, usize) {
    let mut first = 0;
    let same = known.iter().take_while(|node| {
        // The last known node may have ended only because nothing followed it.
        let is_same = first + node.length < kept;
        if is_same {
            first += node.length;
        }
        is_same
    });
    let same = same.count();
    let mut replaced = known.get(same).map(|node| Replaced {
        hash: node.hash,
        kept: node.length.min(kept - first),
    });
    known.truncate(same);
    let mut nodes = known;
    while first < below.len() {
        let mut node = Node {
            replaced: replaced.take(),
            ..Node::default()
        };
        for child in &below[first..] {
            node.add(child);
            // Two children at least, so that each level is shorter than the one below.
            let ends = node.length >= 2 && low_bits(&child.hash).is_multiple_of(FAN_OUT);
            if ends || node.length == MAX_FAN_OUT {
                break;
            }
        }
        let children = &below[first..first + node.length];
        node.hash = node_hash(children.iter().map(|child| &child.hash));
        first += node.length;
        nodes.push(node);
    }
    (nodes, same)
}
