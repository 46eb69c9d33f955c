//! Cutting values into chunks, at boundaries that the content decides.
//!
//! Where a boundary falls depends on the items around it only: an append, a trimmed head or an edit
//! in the middle changes the chunks it touches, and no others. The tree above the leaves is cut by
//! the same rule.

use std::collections::HashMap;

use serde_json::Value;

use super::chunk::{Kind, Reference, items_hash, members_hash, node_hash};
use crate::codec::{self, ContentHash};

/// About the longest encoding that is stored where the value belongs.
const INLINE_BYTES: usize = 256;

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
}

/// What a chunk holds.
#[derive(Debug)]
pub(super) enum Chunk<'v> {
    Value(&'v Value),
    /// Items with their places in the array.
    Items(Vec<(usize, Part<'v>)>),
    Members(Vec<(&'v str, Part<'v>)>),
    Node(Vec<ContentHash>),
}

/// An item or a member's value in a leaf.
#[derive(Debug)]
pub(super) struct Part<'v> {
    pub(super) value: &'v Value,
    pub(super) reference: Option<Reference>,
    hash: ContentHash,
    bytes: usize,
}

impl<'v> Cut<'v> {
    /// Cuts a value; none if it is small.
    pub(super) fn value(&mut self, value: &'v Value) -> Option<Reference> {
        if is_at_most(value, INLINE_BYTES) {
            return None;
        }
        match value {
            Value::Array(items) if !is_at_most(value, LEAF_BYTES) => Some(self.array(items)),
            Value::Object(members) if !is_at_most(value, LEAF_BYTES) => {
                let mut members: Vec<_> = members.iter().collect();
                // Sorted already, unless somebody switched on `preserve_order`.
                members.sort_by_key(|(key, _)| *key);
                Some(self.object(members))
            }
            _ => {
                let hash = codec::hash(value);
                self.chunks.insert(hash, Chunk::Value(value));
                Some(Reference {
                    kind: Kind::Value,
                    nested: false,
                    depth: 0,
                    parts: vec![hash],
                })
            }
        }
    }

    /// The chunk with a hash.
    pub(super) fn chunk(&self, hash: &ContentHash) -> Option<&Chunk<'v>> {
        self.chunks.get(hash)
    }

    /// The hashes of all chunks.
    pub(super) fn hashes(&self) -> impl Iterator<Item = ContentHash> {
        self.chunks.keys().copied()
    }

    fn array(&mut self, items: &'v [Value]) -> Reference {
        let parts = items.iter().map(|item| self.part(item));
        let parts: Vec<(usize, Part<'v>)> = parts.enumerate().collect();
        let nested = parts.iter().any(|(_, part)| part.reference.is_some());
        let leaves = split(parts, |(_, part)| (part.hash, part.bytes));
        let leaves = leaves.into_iter().map(|items| {
            let hash = items_hash(items.iter().map(|(_, part)| &part.hash));
            self.chunks.insert(hash, Chunk::Items(items));
            hash
        });
        let leaves = leaves.collect();
        self.tree(Kind::Array, nested, leaves)
    }

    fn object(&mut self, members: Vec<(&'v String, &'v Value)>) -> Reference {
        let parts: Vec<(&'v str, Part<'v>)> = members
            .into_iter()
            .map(|(key, value)| (key.as_str(), self.part(value)))
            .collect();
        let nested = parts.iter().any(|(_, part)| part.reference.is_some());
        // The key decides as well, so that equal values under different keys are not all cut alike.
        let leaves = split(parts, |(key, part)| {
            let hash = members_hash(std::iter::once((*key, &part.hash)));
            (hash, key.len() + part.bytes)
        });
        let leaves = leaves.into_iter().map(|members| {
            let hash = members_hash(members.iter().map(|(key, part)| (*key, &part.hash)));
            self.chunks.insert(hash, Chunk::Members(members));
            hash
        });
        let leaves = leaves.collect();
        self.tree(Kind::Object, nested, leaves)
    }

    fn part(&mut self, value: &'v Value) -> Part<'v> {
        let is_large =
            matches!(value, Value::Array(_) | Value::Object(_)) && !is_at_most(value, LEAF_BYTES);
        let reference = if is_large { self.value(value) } else { None };
        let (hash, bytes) = match &reference {
            Some(reference) => (reference.hash(), 40 + 22 * reference.parts.len()),
            None => (codec::hash(value), bytes_of(value)),
        };
        Part {
            value,
            reference,
            hash,
            bytes,
        }
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

/// Cuts a sequence into leaves, none of them empty. Each item's own hash and length decide whether
/// a leaf ends behind it, the more likely the longer it is.
fn split<T>(items: Vec<T>, measure: impl Fn(&T) -> (ContentHash, usize)) -> Vec<Vec<T>> {
    let mut leaves = Vec::new();
    let mut leaf = Vec::new();
    let mut leaf_bytes = 0;
    for item in items {
        let (hash, bytes) = measure(&item);
        // A large item has a leaf to itself, so that its neighbours can change without it.
        if bytes >= LEAF_BYTES && !leaf.is_empty() {
            leaves.push(std::mem::take(&mut leaf));
            leaf_bytes = 0;
        }
        leaf.push(item);
        leaf_bytes += bytes;
        let chance = (bytes as u64).saturating_mul(u64::MAX / (LEAF_BYTES - MIN_LEAF_BYTES) as u64);
        let ends = leaf_bytes >= MIN_LEAF_BYTES && low_bits(&hash) < chance;
        if ends || bytes >= LEAF_BYTES || leaf_bytes >= MAX_LEAF_BYTES {
            leaves.push(std::mem::take(&mut leaf));
            leaf_bytes = 0;
        }
    }
    if !leaf.is_empty() {
        leaves.push(leaf);
    }
    leaves
}

fn low_bits(hash: &ContentHash) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash.as_bytes();
    u64::from_le_bytes([a, b, c, d, e, f, g, h])
}

/// Whether a value's encoding has at most about `bytes`; looks at no more of it than that.
fn is_at_most(value: &Value, bytes: usize) -> bool {
    fn take(value: &Value, left: &mut usize) -> bool {
        let own = own_bytes(value);
        if own > *left {
            return false;
        }
        *left -= own;
        match value {
            Value::Array(items) => items.iter().all(|item| take(item, left)),
            Value::Object(members) => members.values().all(|member| take(member, left)),
            _ => true,
        }
    }
    take(value, &mut { bytes })
}

/// About how long a small value's encoding is.
fn bytes_of(value: &Value) -> usize {
    own_bytes(value)
        + match value {
            Value::Array(items) => items.iter().map(bytes_of).sum(),
            Value::Object(members) => members.values().map(bytes_of).sum(),
            _ => 0,
        }
}

/// The same for the value without its members, but with their keys.
fn own_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(_) => 8,
        Value::String(text) => 2 + text.len(),
        Value::Array(items) => 2 + items.len(),
        Value::Object(members) => 2 + members.keys().map(|key| key.len() + 4).sum::<usize>(),
    }
}
