//! What was found of chunks: whether each is what a reference takes it for.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::codec::{self, ContentHash, Form};
use crate::postgres::chunk::{Kind, Reference};

/// The chunks of a thread that were read, without their contents.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    by_hash: HashMap<ContentHash, Shape>,
    /// The references to objects with an order of keys for which a doubt was raised.
    ordered: HashSet<ContentHash>,
    /// Whether a chunk is damaged or missing, so that any value may be unreadable.
    pub(super) damaged: bool,
    /// Whether any leaf refers to chunks.
    pub(super) nested: bool,
    /// Whether a reference says that its leaves refer to none, and one does.
    pub(super) mislabelled: bool,
}

/// What a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A node, with the first chunk below it: all have the same height.
    Node(ContentHash),
    /// A leaf of a tree of a kind.
    Leaf {
        kind: Kind,
        /// Whether it has the order of an object's keys.
        ordered: bool,
    },
}

impl Shapes {
    pub(super) fn note(&mut self, hash: ContentHash, shape: Shape) {
        self.by_hash.insert(hash, shape);
    }

    /// Whether the stored values of channels may be unreadable.
    pub(super) fn doubts_channels(&mut self, stored: &[u8]) -> bool {
        match codec::parse(stored) {
            Ok((Value::Object(channels), form)) => channels.into_iter().any(|(channel, stored)| {
                form.restore_key(channel).is_err() || self.doubts_value(stored, form)
            }),
            _ => true,
        }
    }

    /// Whether a stored value may be unreadable.
    pub(super) fn doubts(&mut self, stored: &[u8]) -> bool {
        match codec::parse(stored) {
            Ok((stored, form)) => self.doubts_value(stored, form),
            Err(_) => true,
        }
    }

    fn doubts_value(&mut self, stored: Value, form: Form) -> bool {
        match stored {
            Value::Array(mut inline) if inline.len() == 1 => form.restore(&mut inline[0]).is_err(),
            Value::Object(stored) => match Reference::read(&stored) {
                Some(reference) => self.doubts_reference(&reference),
                None => true,
            },
            _ => true,
        }
    }

    fn doubts_reference(&mut self, reference: &Reference) -> bool {
        let is_whole = reference.kind == Kind::Value;
        if self.damaged || is_whole && reference.parts.len() != 1 {
            return true;
        }
        if self.mislabelled && !is_whole && !reference.nested {
            return true;
        }
        let depth = if is_whole { 0 } else { reference.depth };
        let mut parts = reference.parts.iter();
        !parts.all(|part| self.fits(part, depth, reference.kind)) || self.is_new_order(reference)
    }

    /// Whether a chunk stands at the top of leaves of a kind, so many levels above them. One that was
    /// put meanwhile isn't known, and passes.
    fn fits(&self, part: &ContentHash, depth: u8, kind: Kind) -> bool {
        match self.below(part, depth) {
            Some(Shape::Leaf { kind: found, .. }) => found == kind,
            Some(Shape::Node(_)) => false,
            None => true,
        }
    }

    /// What is found so many steps below a chunk, each to the first chunk below, or at the leaf that
    /// comes too early: then a node is said to be there, which is as wrong.
    fn below(&self, part: &ContentHash, depth: u8) -> Option<Shape> {
        let mut hash = *part;
        for _ in 0..depth {
            match self.by_hash.get(&hash)? {
                Shape::Node(first) => hash = *first,
                Shape::Leaf { .. } => return Some(Shape::Node(hash)),
            }
        }
        self.by_hash.get(&hash).copied()
    }

    /// Whether the reference is to an object with an order of keys, which only all its leaves
    /// together can show to be one of its keys. Each such object is read once.
    fn is_new_order(&mut self, reference: &Reference) -> bool {
        let first = reference.parts.first();
        let first = first.and_then(|first| self.below(first, reference.depth));
        matches!(first, Some(Shape::Leaf { ordered: true, .. }))
            && self.ordered.insert(reference.hash())
    }
}
