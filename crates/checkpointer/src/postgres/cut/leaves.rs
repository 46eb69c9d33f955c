//! Where a sequence of items or members is cut into leaves.

use std::collections::BTreeMap;

use super::{LEAF_BYTES, MAX_LEAF_BYTES, MIN_LEAF_BYTES, low_bits};
use crate::codec::{ContentHash, MAX_GROWTH, Measure};
use crate::postgres::chunk::{Hasher, Kind, Reference, members_hash};

/// About what a member takes besides its key and its value.
const ENTRY_BYTES: usize = 9;

/// A leaf, but for what it holds.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) hash: ContentHash,
    /// How many members it has; never none.
    pub(super) length: usize,
    /// Those that are trees of their own, by their place in the leaf.
    pub(super) references: BTreeMap<usize, Reference>,
}

/// Cuts the members of an array or object as they come. Each one's own hash and length decide
/// whether a leaf ends behind it, the more likely the longer it is.
#[derive(Debug)]
pub(super) struct Leaves {
    kind: Kind,
    finished: Vec<Leaf>,
    hasher: Hasher,
    bytes: usize,
    length: usize,
    references: BTreeMap<usize, Reference>,
    /// Of the array or object as a whole.
    nested: bool,
    depth: usize,
    max_bytes: usize,
}

/// The leaves of an array or object, and what they say about it.
#[derive(Debug)]
pub(super) struct Cutting {
    pub(super) leaves: Vec<Leaf>,
    pub(super) nested: bool,
    depth: usize,
    max_bytes: usize,
}

impl Leaves {
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            finished: Vec::new(),
            hasher: Hasher::of_leaf(kind),
            bytes: 0,
            length: 0,
            references: BTreeMap::new(),
            nested: false,
            depth: 0,
            max_bytes: 0,
        }
    }

    /// Takes the next member; an item's key is empty.
    pub(super) fn add(&mut self, key: &str, reference: Option<Reference>, measure: &Measure) {
        let bytes = key.len() + measure.bytes;
        // A large one has a leaf to itself, so that its neighbours can change without it.
        let is_large = bytes >= LEAF_BYTES;
        if is_large {
            self.end();
        }
        let decider = match self.kind {
            // The key decides as well, so that equal values are not all cut alike.
            Kind::Object => {
                self.hasher.member(key, &measure.hash);
                members_hash(std::iter::once((key, &measure.hash)))
            }
            _ => {
                self.hasher.item(&measure.hash);
                measure.hash
            }
        };
        self.nested |= reference.is_some();
        self.depth = self.depth.max(measure.depth);
        self.max_bytes += measure.max_bytes + MAX_GROWTH * (key.len() + ENTRY_BYTES);
        self.references
            .extend(reference.map(|reference| (self.length, reference)));
        self.bytes += bytes;
        self.length += 1;
        let chance = (bytes as u64).saturating_mul(u64::MAX / (LEAF_BYTES - MIN_LEAF_BYTES) as u64);
        let by_chance = self.bytes >= MIN_LEAF_BYTES && low_bits(&decider) < chance;
        if by_chance || is_large || self.bytes >= MAX_LEAF_BYTES {
            self.end();
        }
    }

    /// Ends a leaf, unless it would be empty.
    fn end(&mut self) {
        if self.length == 0 {
            return;
        }
        let hasher = std::mem::replace(&mut self.hasher, Hasher::of_leaf(self.kind));
        self.finished.push(Leaf {
            hash: hasher.finish(),
            length: std::mem::take(&mut self.length),
            references: std::mem::take(&mut self.references),
        });
        self.bytes = 0;
    }

    pub(super) fn finish(mut self) -> Cutting {
        self.end();
        Cutting {
            leaves: self.finished,
            nested: self.nested,
            depth: self.depth,
            max_bytes: self.max_bytes,
        }
    }
}

impl Cutting {
    /// The measure of the whole, where its reference stands for it.
    pub(super) fn measure(&self, reference: &Reference) -> Measure {
        Measure {
            hash: reference.hash(),
            depth: self.depth + 1,
            bytes: reference.bytes(),
            max_bytes: self.max_bytes,
        }
    }
}
