//! Cutting values into chunks, at boundaries that the content decides.
//!
//! Where a boundary falls depends on the items around it only: an append, a trimmed head or an edit
//! in the middle changes the chunks it touches, and no others. The tree above the leaves is cut by
//! the same rule. So a change in one place costs itself, the leaf around it and a path of nodes:
//! rarely more than 12 KiB besides itself, the checkpoint's own row included, in at most 8 chunks.

mod leaves;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use self::leaves::{Cutting, Leaves};
use super::chunk::{Kind, Reference, node_hash};
use super::memo::Known;
use crate::codec::{self, ContentHash, MAX_BYTES, MAX_DEPTH, Measure};

/// About the longest encoding of a channel's value that is stored in each checkpoint anew: if it
/// changes each time, a chunk and a reference to it would take a third more.
const INLINE_BYTES: usize = 1024;

/// About the mean length of a leaf. Longer arrays and objects inside a leaf are trees of their own.
const LEAF_BYTES: usize = 2048;

/// About the least length of a leaf that others follow.
const MIN_LEAF_BYTES: usize = 512;

/// About the greatest length of a leaf with more than one item.
const MAX_LEAF_BYTES: usize = 8 * LEAF_BYTES;

/// The mean number of children of an inner node.
const FAN_OUT: u64 = 16;

/// The most children of an inner node.
const MAX_FAN_OUT: usize = 64;

/// The most parts of a reference.
const MAX_PARTS: usize = 32;

/// The chunks of some values, found by their hash; their contents are borrowed.
#[derive(Debug, Default)]
pub(super) struct Cut<'v> {
    chunks: HashMap<ContentHash, Chunk<'v>>,
    /// The trees that are perhaps too deep or too large to be stored, by their references' hashes.
    doubtful: HashSet<ContentHash>,
}

/// What a chunk holds. Items and members that are trees of their own have a reference, found by
/// their place in the leaf.
#[derive(Debug)]
pub(super) enum Chunk<'v> {
    Value(&'v Value),
    Items {
        /// The place of the first one in the array.
        first: usize,
        items: &'v [Value],
        references: BTreeMap<usize, Reference>,
    },
    Members {
        members: Vec<(&'v str, &'v Value)>,
        references: BTreeMap<usize, Reference>,
    },
    Node(Vec<ContentHash>),
}

impl<'v> Cut<'v> {
    /// Cuts the value of a channel, of which something may be known; none if it is small.
    pub(super) fn value(&mut self, value: &'v Value, known: &mut Known) -> Option<Reference> {
        self.longer_than(INLINE_BYTES, value, Some(known))
    }

    /// Cuts the value of a pending write; none if it is shorter than a leaf, for it is stored once.
    pub(super) fn write(&mut self, value: &'v Value) -> Option<Reference> {
        self.longer_than(LEAF_BYTES, value, None)
    }

    fn longer_than(
        &mut self,
        bytes: usize,
        value: &'v Value,
        known: Option<&mut Known>,
    ) -> Option<Reference> {
        if is_at_most(value, bytes) {
            return None;
        }
        if let Some((reference, measure)) = self.tree_of(value, 0, known) {
            if measure.depth > MAX_DEPTH || measure.max_bytes > MAX_BYTES {
                self.doubtful.insert(measure.hash);
            }
            return Some(reference);
        }
        let hash = codec::hash(value);
        self.chunks.insert(hash, Chunk::Value(value));
        Some(Reference {
            kind: Kind::Value,
            nested: false,
            depth: 0,
            parts: vec![hash],
        })
    }

    /// Whether a value may be too deep or too large, though each of its chunks is not.
    pub(super) fn is_doubtful(&self, reference: &Reference) -> bool {
        !self.doubtful.is_empty() && self.doubtful.contains(&reference.hash())
    }

    /// The chunk with a hash.
    pub(super) fn chunk(&self, hash: &ContentHash) -> Option<&Chunk<'v>> {
        self.chunks.get(hash)
    }

    /// The hashes of all chunks.
    pub(super) fn hashes(&self) -> impl Iterator<Item = ContentHash> {
        self.chunks.keys().copied()
    }

    /// Cuts a large array or object that lies `depth` deep. One that is too deep to be stored isn't
    /// cut, so that its depth can't exhaust the stack.
    fn tree_of(
        &mut self,
        value: &'v Value,
        depth: usize,
        known: Option<&mut Known>,
    ) -> Option<(Reference, Measure)> {
        if depth == MAX_DEPTH || is_at_most(value, LEAF_BYTES) {
            return None;
        }
        match value {
            Value::Array(items) => Some(self.array(items, depth, known)),
            Value::Object(members) => Some(self.object(members, depth, known)),
            _ => None,
        }
    }

    fn array(
        &mut self,
        items: &'v [Value],
        depth: usize,
        known: Option<&mut Known>,
    ) -> (Reference, Measure) {
        let mut leaves = Leaves::of(Kind::Array);
        let mut known = known.and_then(|known| known.items(items));
        for (place, item) in items.iter().enumerate() {
            let known = known.as_mut().and_then(|known| known.get_mut(place));
            let (reference, measure) = self.part(item, depth + 1, known);
            leaves.add("", reference, &measure);
        }
        let mut cutting = leaves.finish();
        let mut first = 0;
        for leaf in &mut cutting.leaves {
            let chunk = Chunk::Items {
                first,
                items: &items[first..first + leaf.length],
                references: std::mem::take(&mut leaf.references),
            };
            self.chunks.insert(leaf.hash, chunk);
            first += leaf.length;
        }
        self.reference(Kind::Array, &cutting)
    }

    fn object(
        &mut self,
        object: &'v Map<String, Value>,
        depth: usize,
        known: Option<&mut Known>,
    ) -> (Reference, Measure) {
        let mut known = known.and_then(|known| known.members(object));
        let mut members: Vec<_> = object.iter().map(|(key, value)| (&**key, value)).collect();
        // Sorted already, unless somebody switched on `preserve_order`.
        members.sort_unstable_by_key(|(key, _)| *key);
        let mut leaves = Leaves::of(Kind::Object);
        for (key, value) in &members {
            let known = known.as_mut().and_then(|known| known.get_mut(*key));
            let (reference, measure) = self.part(value, depth + 1, known);
            leaves.add(key, reference, &measure);
        }
        let mut cutting = leaves.finish();
        let mut members = members.into_iter();
        for leaf in &mut cutting.leaves {
            let chunk = Chunk::Members {
                members: members.by_ref().take(leaf.length).collect(),
                references: std::mem::take(&mut leaf.references),
            };
            self.chunks.insert(leaf.hash, chunk);
        }
        self.reference(Kind::Object, &cutting)
    }

    fn part(
        &mut self,
        value: &'v Value,
        depth: usize,
        mut known: Option<&mut Known>,
    ) -> (Option<Reference>, Measure) {
        match self.tree_of(value, depth, known.as_deref_mut()) {
            Some((reference, measure)) => (Some(reference), measure),
            None => {
                let measure = known.map(|known| known.measure(value));
                (None, measure.unwrap_or_else(|| codec::measure(value)))
            }
        }
    }

    fn reference(&mut self, kind: Kind, cutting: &Cutting) -> (Reference, Measure) {
        let leaves = cutting.leaves.iter().map(|leaf| leaf.hash).collect();
        let reference = self.tree(kind, cutting.nested, leaves);
        let measure = cutting.measure(&reference);
        (reference, measure)
    }

    /// Puts inner nodes above the leaves until few enough are left.
    fn tree(&mut self, kind: Kind, nested: bool, leaves: Vec<ContentHash>) -> Reference {
        let (mut parts, mut depth) = (leaves, 0);
        while parts.len() > MAX_PARTS {
            let mut above = Vec::new();
            let mut node = Vec::new();
            let last = parts.len() - 1;
            for (index, part) in parts.into_iter().enumerate() {
                node.push(part);
                // Two at least, so that each level is shorter than the one below.
                let ends = node.len() >= 2 && low_bits(&part).is_multiple_of(FAN_OUT);
                if ends || node.len() == MAX_FAN_OUT || index == last {
                    let children = std::mem::take(&mut node);
                    let hash = node_hash(children.iter());
                    self.chunks.insert(hash, Chunk::Node(children));
                    above.push(hash);
                }
            }
            parts = above;
            depth += 1;
        }
        Reference {
            kind,
            nested,
            depth,
            parts,
        }
    }
}

fn low_bits(hash: &ContentHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Whether a value's encoding has at most about `bytes`; looks at no more of it than that.
fn is_at_most(value: &Value, mut bytes: usize) -> bool {
    fn spend(bytes: usize, left: &mut usize) -> bool {
        let rest = left.checked_sub(bytes);
        *left = rest.unwrap_or(0);
        rest.is_some()
    }
    fn take(value: &Value, left: &mut usize) -> bool {
        match value {
            Value::Null | Value::Bool(_) => spend(4, left),
            Value::Number(_) => spend(8, left),
            Value::String(text) => spend(2 + text.len(), left),
            Value::Array(items) => {
                spend(2 + items.len(), left) && items.iter().all(|item| take(item, left))
            }
            Value::Object(members) => {
                spend(2 + 4 * members.len(), left)
                    && members
                        .iter()
                        .all(|(key, member)| spend(key.len(), left) && take(member, left))
            }
        }
    }
    take(value, &mut bytes)
}
