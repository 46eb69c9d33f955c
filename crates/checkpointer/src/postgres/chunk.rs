//! Chunks: the pieces of large values, found by their hash.
//!
//! A small value is stored where it belongs, as `[value]`. A large one is stored as a reference,
//! `{"k": kind, "d": depth, "r": hashes}`, to the top of a tree. At depth 0 the hashes are those of
//! leaves; above, those of inner nodes, whose children stand one level lower.
//!
//! | kind | a leaf's content |
//! |---|---|
//! | `v` | the value itself, one leaf |
//! | `a` | some items of the array: `[item, …]` |
//! | `o` | some members of the object: `[{key: value, …}]` |
//! | `A`, `O` | the same with further references: `{"m": [entry, …]}`, `{"m": {key: entry, …}}`, each entry a value in the form above; all leaves of such a tree may be of either form |
//!
//! Hashes are packed, 16 bytes each: in JSON as base64, in the `refs` column of inner nodes and of
//! leaves with references as they are. A chunk's hash is made of the hashes of what it holds, so a
//! subtree that is equal is the same chunk.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use crate::codec::ContentHash;

/// The format of the hashes below, none of which begins like that of a value.
const FORMAT: u8 = 0x81;

/// A reference to the top of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    /// Whether leaves may hold further references.
    pub(super) nested: bool,
    pub(super) depth: u8,
    pub(super) parts: Vec<ContentHash>,
}

/// What a tree's leaves hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Value,
    Array,
    Object,
}

impl Reference {
    /// Writes the reference as JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (kind, depth) = (self.letter() as char, self.depth);
        let refs = BASE64.encode(pack(&self.parts));
        out.extend_from_slice(
            format!("{{\"k\":\"{kind}\",\"d\":{depth},\"r\":\"{refs}\"}}").as_bytes(),
        );
    }

    /// Reads a reference.
    pub(super) fn read(stored: &Map<String, Value>) -> Option<Self> {
        let (kind, nested) = match stored.get("k")?.as_str()? {
            "v" => (Kind::Value, false),
            "a" => (Kind::Array, false),
            "A" => (Kind::Array, true),
            "o" => (Kind::Object, false),
            "O" => (Kind::Object, true),
            _ => return None,
        };
        let depth = stored.get("d")?.as_u64()?.try_into().ok()?;
        let parts = unpack(&BASE64.decode(stored.get("r")?.as_str()?).ok()?)?;
        Some(Self {
            kind,
            nested,
            depth,
            parts,
        })
    }

    /// The hash of the value referred to, as part of another's.
    pub(super) fn hash(&self) -> ContentHash {
        let mut hasher = Hasher::new(self.letter());
        hasher.0.update(&[self.depth]);
        self.parts.iter().for_each(|part| hasher.add(part));
        hasher.finish()
    }

    fn letter(&self) -> u8 {
        match (self.kind, self.nested) {
            (Kind::Value, _) => b'v',
            (Kind::Array, false) => b'a',
            (Kind::Array, true) => b'A',
            (Kind::Object, false) => b'o',
            (Kind::Object, true) => b'O',
        }
    }
}

/// The hash of an array's leaf, by the hashes of its items.
pub(super) fn items_hash<'a>(items: impl Iterator<Item = &'a ContentHash>) -> ContentHash {
    let mut hasher = Hasher::new(b'i');
    items.for_each(|item| hasher.add(item));
    hasher.finish()
}

/// The hash of an object's leaf, by its keys and the hashes of their values.
pub(super) fn members_hash<'a>(
    members: impl Iterator<Item = (&'a str, &'a ContentHash)>,
) -> ContentHash {
    let mut hasher = Hasher::new(b'm');
    for (key, value) in members {
        hasher.0.update(&(key.len() as u64).to_le_bytes());
        hasher.0.update(key.as_bytes());
        hasher.add(value);
    }
    hasher.finish()
}

/// The hash of an inner node, by those of its children.
pub(super) fn node_hash<'a>(children: impl Iterator<Item = &'a ContentHash>) -> ContentHash {
    let mut hasher = Hasher::new(b'n');
    children.for_each(|child| hasher.add(child));
    hasher.finish()
}

struct Hasher(blake3::Hasher);

impl Hasher {
    fn new(what: u8) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[FORMAT, what]);
        Self(hasher)
    }

    fn add(&mut self, hash: &ContentHash) {
        self.0.update(hash.as_bytes());
    }

    fn finish(&self) -> ContentHash {
        let mut hash = [0; 16];
        self.0.finalize_xof().fill(&mut hash);
        ContentHash::from_bytes(hash)
    }
}

/// Puts hashes one behind the other.
pub(super) fn pack(hashes: &[ContentHash]) -> Vec<u8> {
    hashes.iter().flat_map(|hash| *hash.as_bytes()).collect()
}

/// Takes packed hashes apart.
pub(super) fn unpack(packed: &[u8]) -> Option<Vec<ContentHash>> {
    let (hashes, rest) = packed.as_chunks::<16>();
    rest.is_empty().then(|| {
        hashes
            .iter()
            .map(|hash| ContentHash::from_bytes(*hash))
            .collect()
    })
}
