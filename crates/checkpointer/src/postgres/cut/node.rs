//! What a tree is made of: the items of a large value, and the chunks that hold them.

use serde_json::Value;

use super::Cut;
use crate::codec::ContentHash;

/// An item or a member.
#[derive(Debug)]
pub(in crate::postgres) struct Item {
    /// The member's key; an item of an array has none, nor has the order of an object's keys. It
    /// isn't an empty text, because to compare two of those is slow: `memcmp` gets pointers to no
    /// memory (docs/speed.md).
    pub(super) key: Option<Box<str>>,
    pub(in crate::postgres) cut: Cut,
}

/// A chunk: a leaf or an inner node, with what there is in all of it.
#[derive(Debug, Clone)]
pub(in crate::postgres) struct Node {
    pub(in crate::postgres) hash: ContentHash,
    /// How many items a leaf has, or how many children a node; never none.
    pub(in crate::postgres) length: usize,
    /// Whether some items are trees of their own.
    pub(in crate::postgres) nested: bool,
    /// How deep the deepest item is.
    pub(super) depth: usize,
    /// The most bytes that the items can take.
    pub(super) max_bytes: usize,
    /// About how much memory the items take here.
    pub(super) memory: usize,
    /// The node that was in its place before.
    pub(in crate::postgres) replaced: Option<Replaced>,
}

/// A node that was replaced: where it is stored, so are its children.
#[derive(Debug, Clone)]
pub(in crate::postgres) struct Replaced {
    pub(in crate::postgres) hash: ContentHash,
    /// How many children at the front are the same since.
    pub(in crate::postgres) kept: usize,
}

impl Item {
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.key.as_ref().map_or(0, |key| key.len()) + self.cut.memory()
    }

    pub(super) fn is(&self, key: Option<&str>, value: &Value) -> bool {
        self.key.as_deref() == key && self.cut.is_of(value)
    }
}

impl Default for Node {
    fn default() -> Self {
        Self {
            hash: ContentHash::from_bytes([0; 16]),
            length: 0,
            nested: false,
            depth: 0,
            max_bytes: 0,
            memory: 0,
            replaced: None,
        }
    }
}

impl Node {
    /// Collects what there is in all of some nodes; the hash isn't made yet.
    pub(super) fn above(children: &[Self]) -> Self {
        let mut node = Self::default();
        for child in children {
            node.add(child);
        }
        node
    }

    pub(super) fn add(&mut self, child: &Self) {
        self.length += 1;
        self.nested |= child.nested;
        self.depth = self.depth.max(child.depth);
        self.max_bytes += child.max_bytes;
        self.memory += child.memory;
    }
}
