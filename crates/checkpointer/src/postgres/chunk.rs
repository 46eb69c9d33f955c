//! Chunks: the parts of large values, found by their hash.
//!
//! A small value is stored where it belongs, as `[value]`. A large one is stored as a reference,
//! `{"k": kind, "d": depth, "r": hashes}`, to the top of a tree. At depth 0 the hashes are those of
//! leaves; above, those of inner nodes, whose children stand one level lower.
//!
//! | kind | a leaf's content |
//! |---|---|
//! | `v` | the value itself, one leaf |
//! | `a` | some items of the array: `[item, …]` |
//! | `o` | some members of the object: `[{key: value, …}]`; the first leaf of one whose keys aren't sorted also has the list of its keys in their order, as a member of the key U+0001 `o` |
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
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub(super) kind: Kind,
    /// Whether leaves may hold further references.
    pub(super) nested: bool,
    pub(super) depth: u8,
    pub(super) parts: Vec<ContentHash>,
}

/// What a tree's leaves hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
        if stored.len() != 3 {
            return None;
        }
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
        hasher.0.push(self.depth);
        self.parts.iter().for_each(|part| hasher.item(part));
        hasher.finish()
    }

    /// About how long the reference is as JSON.
    pub(super) fn bytes(&self) -> usize {
        40 + 22 * self.parts.len()
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
    let mut hasher = Hasher::of_leaf(Kind::Array);
    items.for_each(|item| hasher.item(item));
    hasher.finish()
}

/// The hash of an object's leaf, by its keys and the hashes of their values. The order of the
/// object's keys has no key.
pub(super) fn members_hash<'a>(
    members: impl Iterator<Item = (Option<&'a str>, &'a ContentHash)>,
) -> ContentHash {
    let mut hasher = Hasher::of_leaf(Kind::Object);
    members.for_each(|(key, value)| hasher.member(key, value));
    hasher.finish()
}

/// The hash of an inner node, by those of its children.
pub(super) fn node_hash<'a>(children: impl Iterator<Item = &'a ContentHash>) -> ContentHash {
    let mut hasher = Hasher::new(b'n');
    children.for_each(|child| hasher.item(child));
    hasher.finish()
}

/// Makes the hash of what is made of hashed parts.
#[derive(Debug)]
pub(super) struct Hasher(Vec<u8>);

impl Hasher {
    fn new(what: u8) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&[FORMAT, what]);
        Self(bytes)
    }

    /// Hashes the items or the members of a leaf.
    pub(super) fn of_leaf(kind: Kind) -> Self {
        Self::new(if kind == Kind::Object { b'm' } else { b'i' })
    }

    pub(super) fn item(&mut self, hash: &ContentHash) {
        self.0.extend_from_slice(hash.as_bytes());
    }

    /// Takes the next member, in the order of their keys; the order of the object's keys first.
    pub(super) fn member(&mut self, key: Option<&str>, value: &ContentHash) {
        // No key is so long.
        let len = key.map_or(u64::MAX, |key| key.len() as u64);
        self.0.extend_from_slice(&len.to_le_bytes());
        self.0.extend_from_slice(key.unwrap_or_default().as_bytes());
        self.item(value);
    }

    pub(super) fn finish(&self) -> ContentHash {
        ContentHash::of(&self.0)
    }
}

/// Puts hashes one behind the other.
pub(super) fn pack<'a>(hashes: impl IntoIterator<Item = &'a ContentHash>) -> Vec<u8> {
    let mut packed = Vec::new();
    for hash in hashes {
        packed.extend_from_slice(hash.as_bytes());
    }
    packed
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
