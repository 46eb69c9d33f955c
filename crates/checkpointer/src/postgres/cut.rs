//! Cutting values into chunks, at boundaries that the content decides.
//!
//! Where a boundary falls depends on the items around it only: an append, a trimmed head or an edit
//! in the middle changes the chunks it touches, and no others. The tree above the leaves is cut by
//! the same rule. So a change in one place costs itself, the leaf around it and a path of nodes:
//! rarely more than 12 KiB besides itself, the checkpoint's own row included, in at most 8 chunks.

mod list;

mod tree;

mod levels;

mod leaves;

mod node;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::Value;

use super::chunk::{Kind, Reference};
use crate::codec::{self, Canonical, ContentHash, MAX_DEPTH, Measure};
pub(super) use levels::Levels;
pub(super) use list::{End, List};
pub(super) use node::{Item, Node, Replaced};
pub(super) use tree::{Members, Tree};

/// About the longest encoding of a channel's value that is stored in each checkpoint anew. For a
/// value that changes each time, a chunk and a reference to it would take a third more.
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

/// A large value, cut: everything but its contents.
///
/// The next value in its place is compared with it, and only what differs is hashed and cut again.
#[derive(Debug)]
pub(super) enum Cut {
    /// As one chunk.
    Whole(Whole),
    Tree(Box<Tree>),
}

/// The value that was in another's place before, cut.
#[derive(Debug)]
pub(super) struct Before {
    cut: Cut,
    /// How many items at the front are known to be the same in both.
    same: usize,
}

/// A value that is one chunk. It is kept, to be compared with the next one, if it is short.
#[derive(Debug)]
pub(super) struct Whole {
    measure: Measure,
    canonical: Option<Canonical>,
}

impl Cut {
    /// Cuts the value of a channel; none if it is small.
    pub(super) fn of_channel(value: &Value, known: impl FnOnce() -> Option<Self>) -> Option<Self> {
        Self::is_due(value).then(|| Self::of_large(value, known().map(Before::from)))
    }

    /// Whether the value of a channel is to be cut.
    pub(super) fn is_due(value: &Value) -> bool {
        !is_at_most(value, INLINE_BYTES)
    }

    /// Cuts the large value of a channel, where another may have been before.
    pub(super) fn of_large(value: &Value, before: Option<Before>) -> Self {
        Self::again(value, 0, before)
    }

    /// Cuts the value of a pending write; none if it is shorter than a leaf, because it is stored
    /// only once.
    pub(super) fn of_write(value: &Value) -> Option<Self> {
        (!is_at_most(value, LEAF_BYTES)).then(|| Self::again(value, 0, None))
    }

    /// Cuts a value that lies `depth` deep, where another may have been before. A value that is too
    /// deep to be stored stays whole, so that its depth can't exhaust the stack.
    fn again(value: &Value, depth: usize, before: Option<Before>) -> Self {
        if depth < MAX_DEPTH
            && !is_at_most(value, LEAF_BYTES)
            && let Some(members) = Members::of(value)
        {
            let before = before.and_then(Before::into_tree);
            return Self::Tree(Box::new(Tree::of(&members, depth, before)));
        }
        match before.map(|before| before.cut) {
            Some(Self::Whole(known)) if known.is_of(value) => Self::Whole(known),
            _ => Self::Whole(Whole::of(value)),
        }
    }

    /// What stands for the value where it is stored.
    pub(super) fn reference(&self) -> Cow<'_, Reference> {
        match self {
            Self::Tree(tree) => Cow::Borrowed(tree.levels().reference()),
            Self::Whole(whole) => Cow::Owned(Reference {
                kind: Kind::Value,
                nested: false,
                depth: 0,
                parts: vec![whole.measure.hash],
            }),
        }
    }

    /// Whether the value may be too deep or too large, though each of its chunks is not.
    pub(super) fn may_be_too_large(&self) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Tree(tree) => tree.levels().may_be_too_large(),
        }
    }

    /// About how much memory it takes, besides its own.
    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Whole(Whole { canonical, .. }) => canonical.as_ref().map_or(0, Canonical::len),
            Self::Tree(tree) => tree.memory(),
        }
    }

    fn measure(&self) -> &Measure {
        match self {
            Self::Whole(whole) => &whole.measure,
            Self::Tree(tree) => tree.levels().measure(),
        }
    }

    fn is_tree(&self) -> bool {
        matches!(self, Self::Tree(_))
    }

    fn is_of(&self, value: &Value) -> bool {
        match self {
            Self::Whole(whole) => whole.is_of(value),
            Self::Tree(tree) => tree.is_of(value),
        }
    }
}

impl Before {
    /// Of a value that is the same up to some item.
    pub(super) fn with_same(cut: Cut, same: usize) -> Self {
        Self { cut, same }
    }

    fn into_tree(self) -> Option<(Tree, usize)> {
        match self.cut {
            Cut::Tree(tree) => Some((*tree, self.same)),
            Cut::Whole(_) => None,
        }
    }
}

impl From<Cut> for Before {
    /// Of a value of which nothing is known to be the same.
    fn from(cut: Cut) -> Self {
        Self::with_same(cut, 0)
    }
}

impl Whole {
    fn of(value: &Value) -> Self {
        let (measure, canonical) = codec::measure_and_keep(value);
        Self {
            measure,
            // To compare a deeper one might take more stack than there is.
            canonical: canonical.filter(|_| measure.depth <= MAX_DEPTH),
        }
    }

    pub(super) fn hash(&self) -> &ContentHash {
        &self.measure.hash
    }

    fn is_of(&self, value: &Value) -> bool {
        let canonical = self.canonical.as_ref();
        canonical.is_some_and(|canonical| canonical.is_of(value))
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
