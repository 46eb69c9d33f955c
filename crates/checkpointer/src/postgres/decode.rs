//! Values on their way back from the database.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::chunk::{Kind, Reference, items_hash, members_hash, node_hash, unpack};
use super::encode::FORMAT;
use crate::codec::{self, ContentHash, MAX_BYTES, MAX_DEPTH};
use crate::{
    ChannelVersions, Checkpoint, CheckpointId, Error, Loaded, Metadata, Result, ThreadId, Version,
};

/// The chunks of a read, from which it makes values.
#[derive(Debug)]
pub(super) struct Decoder<'r> {
    chunks: HashMap<ThreadId, HashMap<ContentHash, Chunk<'r>>>,
    /// Whether parsed chunks are kept for further values, which then copy them.
    keeps: bool,
    /// The most bytes of chunks that make one value.
    at_most: usize,
    /// How many bytes of chunks have gone into values so far.
    bytes_read: Cell<usize>,
}

#[derive(Debug)]
struct Chunk<'r> {
    body: Body<'r>,
    /// How many bytes it takes where it is stored.
    bytes: usize,
    /// The kind of tree for which the content was found to match the hash. It is checked once,
    /// because a chunk may be in many values.
    verified: Cell<Option<Kind>>,
}

#[derive(Debug)]
enum Body<'r> {
    /// A leaf, whose hash depends on the kind of tree it is in.
    Leaf {
        text: &'r [u8],
        parsed: RefCell<Option<Value>>,
    },
    Node(Vec<ContentHash>),
}

impl<'r> Decoder<'r> {
    /// Makes a decoder for values that have no or few chunks in common.
    pub(super) fn of_one() -> Self {
        Self {
            chunks: HashMap::new(),
            keeps: false,
            at_most: MAX_READ,
            bytes_read: Cell::new(0),
        }
    }

    /// Makes a decoder for values that share most of their chunks.
    pub(super) fn of_many() -> Self {
        Self {
            keeps: true,
            ..Self::of_one()
        }
    }

    #[cfg(test)]
    pub(super) fn reading_at_most(self, bytes: usize) -> Self {
        Self {
            at_most: bytes,
            ..self
        }
    }

    /// Takes a chunk.
    pub(super) fn take_chunk(
        &mut self,
        thread_id: &ThreadId,
        hash: ContentHash,
        content: Option<&'r [u8]>,
        refs: Option<&'r [u8]>,
    ) -> Result<()> {
        let wrong = |what| corrupt(thread_id, format!("chunk {hash} {what}"));
        let (body, bytes) = match (content, refs) {
            (Some(text), _) => {
                let parsed = RefCell::new(None);
                (Body::Leaf { text, parsed }, text.len())
            }
            (None, Some(refs)) => {
                let children = unpack(refs).ok_or_else(|| wrong("holds half a hash"))?;
                (Body::Node(children), refs.len())
            }
            (None, None) => return Err(wrong("is empty")),
        };
        let chunk = Chunk {
            body,
            bytes,
            verified: Cell::new(None),
        };
        match self.chunks.get_mut(thread_id) {
            Some(chunks) => {
                chunks.insert(hash, chunk);
            }
            None => {
                let chunks = HashMap::from([(hash, chunk)]);
                self.chunks.insert(thread_id.clone(), chunks);
            }
        }
        Ok(())
    }

    /// The hashes of a thread's chunks that were taken.
    pub(super) fn hashes(&self, thread_id: &ThreadId) -> impl Iterator<Item = ContentHash> {
        let chunks = self.chunks.get(thread_id);
        chunks.into_iter().flat_map(|chunks| chunks.keys().copied())
    }

    /// How many bytes of chunks have gone into the values that were read so far.
    pub(super) fn bytes_read(&self) -> usize {
        self.bytes_read.get()
    }

    /// Reads the values of channels.
    pub(super) fn channels(
        &self,
        thread_id: &ThreadId,
        stored: &[u8],
    ) -> Result<BTreeMap<String, Value>> {
        object(thread_id, stored, || "the channels".to_owned())?
            .into_iter()
            .map(|(channel, stored)| {
                let value = self.stored_value(thread_id, stored, &channel)?;
                Ok((channel, value))
            })
            .collect()
    }

    /// Reads a value of `channel`.
    pub(super) fn value(
        &self,
        thread_id: &ThreadId,
        stored: &[u8],
        channel: &str,
    ) -> Result<Value> {
        let stored = json(thread_id, stored, || format!("channel `{channel}`"))?;
        self.stored_value(thread_id, stored, channel)
    }

    fn stored_value(&self, thread_id: &ThreadId, stored: Value, channel: &str) -> Result<Value> {
        let mut assembler = Assembler {
            thread_id,
            chunks: self.chunks.get(thread_id),
            keeps: self.keeps,
            channel,
            left: self.at_most,
        };
        let value = assembler.entry(stored, 0)?.0;
        let bytes = self.at_most - assembler.left;
        self.bytes_read.set(self.bytes_read.get() + bytes);
        Ok(value)
    }
}

/// The most bytes of chunks that make one value. No value that was written takes more, but a few
/// chunks that refer to each other many times could stand for any number of bytes.
const MAX_READ: usize = 4 * MAX_BYTES;

/// What a chunk counts besides its bytes: many small ones take time to read. Those that were written
/// have more than a kilobyte on average.
const CHUNK_BYTES: usize = 256;

/// Makes the value of one channel, and checks each chunk against its hash.
struct Assembler<'a> {
    thread_id: &'a ThreadId,
    chunks: Option<&'a HashMap<ContentHash, Chunk<'a>>>,
    keeps: bool,
    channel: &'a str,
    /// How many more bytes of chunks the value may take.
    left: usize,
}

impl<'a> Assembler<'a> {
    /// Makes the value of `[value]` or of a reference, with its hash as part of another's. It lies
    /// in a leaf inside `depth` others.
    fn entry(&mut self, stored: Value, depth: usize) -> Result<(Value, ContentHash)> {
        match stored {
            Value::Array(mut inline) if inline.len() == 1 => {
                let value = inline.remove(0);
                let hash = codec::hash(&value);
                Ok((value, hash))
            }
            Value::Object(stored) => {
                let reference = Reference::read(&stored)
                    .ok_or_else(|| self.corrupt("has a reference in an unknown form"))?;
                if depth > MAX_DEPTH {
                    return Err(self.corrupt("is nested deeper than any that is stored"));
                }
                let value = self.refer(&reference, depth)?;
                Ok((value, reference.hash()))
            }
            _ => Err(self.corrupt("is stored in an unknown form")),
        }
    }

    fn refer(&mut self, reference: &Reference, depth: usize) -> Result<Value> {
        match reference.kind {
            Kind::Value => match &reference.parts[..] {
                [hash] => {
                    let (chunk, value) = self.leaf(hash)?;
                    self.verify(hash, chunk, Kind::Value, || codec::hash(&value))?;
                    Ok(value)
                }
                _ => Err(self.corrupt("refers to no chunk")),
            },
            Kind::Array => {
                let mut items = Vec::new();
                for hash in self.leaves(reference)? {
                    self.items(&hash, depth, &mut items)?;
                }
                Ok(Value::Array(items))
            }
            Kind::Object => {
                let mut members = Map::new();
                for hash in self.leaves(reference)? {
                    self.members(&hash, depth, &mut members)?;
                }
                Ok(Value::Object(members))
            }
        }
    }

    /// The hashes of a tree's leaves, in order.
    fn leaves(&mut self, reference: &Reference) -> Result<Vec<ContentHash>> {
        let mut hashes = reference.parts.clone();
        for _ in 0..reference.depth {
            let mut below = Vec::new();
            for hash in hashes {
                let chunk = self.chunk(&hash)?;
                let Body::Node(children) = &chunk.body else {
                    return Err(self.corrupt(&format!("has a leaf, chunk {hash}, for a node")));
                };
                // Any kind will do: a node's hash doesn't depend on it.
                self.verify(&hash, chunk, Kind::Value, || node_hash(children.iter()))?;
                below.extend_from_slice(children);
            }
            hashes = below;
        }
        Ok(hashes)
    }

    fn items(&mut self, hash: &ContentHash, depth: usize, items: &mut Vec<Value>) -> Result<()> {
        let (chunk, content) = self.leaf(hash)?;
        match content {
            Value::Array(mut plain) => {
                self.verify(hash, chunk, Kind::Array, || {
                    let hashes: Vec<_> = plain.iter().map(codec::hash).collect();
                    items_hash(hashes.iter())
                })?;
                items.append(&mut plain);
                Ok(())
            }
            Value::Object(mut mixed) => {
                let (Some(Value::Array(entries)), true) = (mixed.remove("m"), mixed.is_empty())
                else {
                    return Err(self.unknown_form(hash));
                };
                let mut hashes = Vec::new();
                for entry in entries {
                    let (item, hash) = self.entry(entry, depth + 1)?;
                    items.push(item);
                    hashes.push(hash);
                }
                self.verify(hash, chunk, Kind::Array, || items_hash(hashes.iter()))
            }
            _ => Err(self.unknown_form(hash)),
        }
    }

    fn members(
        &mut self,
        hash: &ContentHash,
        depth: usize,
        members: &mut Map<String, Value>,
    ) -> Result<()> {
        let (chunk, content) = self.leaf(hash)?;
        let hash_of = |hashes: &BTreeMap<&str, ContentHash>| {
            members_hash(hashes.iter().map(|(key, hash)| (*key, hash)))
        };
        match content {
            Value::Array(mut plain) => {
                let (Some(Value::Object(plain)), []) = (plain.pop(), &plain[..]) else {
                    return Err(self.unknown_form(hash));
                };
                self.verify(hash, chunk, Kind::Object, || {
                    let hashes = plain
                        .iter()
                        .map(|(key, value)| (key.as_str(), codec::hash(value)))
                        .collect();
                    hash_of(&hashes)
                })?;
                members.extend(plain);
                Ok(())
            }
            Value::Object(mut mixed) => {
                let (Some(Value::Object(entries)), true) = (mixed.remove("m"), mixed.is_empty())
                else {
                    return Err(self.unknown_form(hash));
                };
                let mut keys = Vec::new();
                let mut hashes = Vec::new();
                for (key, entry) in entries {
                    let (value, hash) = self.entry(entry, depth + 1)?;
                    keys.push(key.clone());
                    hashes.push(hash);
                    members.insert(key, value);
                }
                self.verify(hash, chunk, Kind::Object, || {
                    let keys = keys.iter().map(String::as_str);
                    hash_of(&keys.zip(hashes).collect())
                })
            }
            _ => Err(self.unknown_form(hash)),
        }
    }

    fn leaf(&mut self, hash: &ContentHash) -> Result<(&'a Chunk<'a>, Value)> {
        let chunk = self.chunk(hash)?;
        let Body::Leaf { text, parsed } = &chunk.body else {
            return Err(self.corrupt(&format!("has a node, chunk {hash}, for a leaf")));
        };
        let content = match parsed.take() {
            Some(content) => content,
            None => json(self.thread_id, text, || format!("chunk {hash}"))?,
        };
        if self.keeps {
            parsed.replace(Some(content.clone()));
        }
        Ok((chunk, content))
    }

    fn chunk(&mut self, hash: &ContentHash) -> Result<&'a Chunk<'a>> {
        let Some(chunk) = self.chunks.and_then(|chunks| chunks.get(hash)) else {
            return Err(self.corrupt(&format!("misses chunk {hash}")));
        };
        match self.left.checked_sub(chunk.bytes + CHUNK_BYTES) {
            Some(left) => self.left = left,
            None => return Err(self.corrupt("is larger than any that is stored")),
        }
        Ok(chunk)
    }

    /// Compares a chunk's hash with that of its content, unless that was done.
    fn verify(
        &self,
        hash: &ContentHash,
        chunk: &Chunk<'_>,
        kind: Kind,
        found: impl FnOnce() -> ContentHash,
    ) -> Result<()> {
        if chunk.verified.get() == Some(kind) {
            return Ok(());
        }
        if *hash != found() {
            return Err(self.corrupt(&format!(
                "has chunk {hash}, whose content doesn't match its hash"
            )));
        }
        chunk.verified.set(Some(kind));
        Ok(())
    }

    fn unknown_form(&self, hash: &ContentHash) -> Error {
        self.corrupt(&format!("has an unknown form of chunk, {hash}"))
    }

    fn corrupt(&self, what: &str) -> Error {
        corrupt(self.thread_id, format!("channel `{}` {what}", self.channel))
    }
}

/// Reads a checkpoint's own fields, as many as `loaded` says.
pub(super) fn checkpoint(
    thread_id: &ThreadId,
    id: CheckpointId,
    stored: &[u8],
    loaded: Loaded,
) -> Result<Checkpoint> {
    let wrong = |what: &str| corrupt(thread_id, format!("checkpoint `{id}`: {what}"));
    let mut checkpoint = Checkpoint::new(id.clone()).with_loaded(loaded);
    let mut fields = object(thread_id, stored, || format!("checkpoint `{id}`"))?;
    match fields.remove("format").as_ref().and_then(Value::as_i64) {
        Some(FORMAT) => {}
        Some(newer) => {
            return Err(wrong(&format!(
                "its format is {newer}, this program reads up to {FORMAT}"
            )));
        }
        None => return Err(wrong("its format is missing")),
    }
    checkpoint.v = fields
        .remove("v")
        .as_ref()
        .and_then(Value::as_i64)
        .ok_or_else(|| wrong("`v` is no integer"))?;
    checkpoint.ts = match fields.remove("ts") {
        Some(Value::String(ts)) => ts,
        _ => return Err(wrong("`ts` is no text")),
    };
    if loaded == Loaded::Nothing {
        return Ok(checkpoint);
    }
    checkpoint.channel_versions = versions(fields.remove("channel_versions"))
        .ok_or_else(|| wrong("`channel_versions` isn't made of versions"))?;
    let Some(Value::Object(seen)) = fields.remove("versions_seen") else {
        return Err(wrong("`versions_seen` is no object"));
    };
    for (node, stored) in seen {
        let versions = versions(Some(stored))
            .ok_or_else(|| wrong("`versions_seen` isn't made of versions"))?;
        checkpoint.versions_seen.insert(node, versions);
    }
    if let Some(channels) = fields.remove("updated_channels") {
        let channels = serde_json::from_value(channels)
            .map_err(|_| wrong("`updated_channels` isn't made of names"))?;
        checkpoint.updated_channels = Some(channels);
    }
    match fields.remove("extra") {
        None => {}
        Some(Value::Object(extra)) => checkpoint.extra = extra,
        Some(_) => return Err(wrong("`extra` is no object")),
    }
    match fields.keys().next() {
        None => Ok(checkpoint),
        Some(other) => Err(wrong(&format!("its field `{other}` is unknown"))),
    }
}

/// Reads a checkpoint's metadata.
pub(super) fn metadata(thread_id: &ThreadId, stored: &[u8]) -> Result<Metadata> {
    object(thread_id, stored, || "the metadata".to_owned()).map(Metadata::from)
}

/// Reads an object.
pub(super) fn object(
    thread_id: &ThreadId,
    stored: &[u8],
    what: impl Fn() -> String,
) -> Result<Map<String, Value>> {
    match json(thread_id, stored, &what)? {
        Value::Object(object) => Ok(object),
        _ => Err(corrupt(thread_id, format!("{}: no object", what()))),
    }
}

fn versions(stored: Option<Value>) -> Option<ChannelVersions> {
    let Some(Value::Object(versions)) = stored else {
        return None;
    };
    versions
        .into_iter()
        .map(|(channel, version)| Some((channel, Version::from_json(&version)?)))
        .collect()
}

fn json(thread_id: &ThreadId, stored: &[u8], what: impl Fn() -> String) -> Result<Value> {
    codec::decode(stored).map_err(|error| corrupt(thread_id, format!("{}: {error}", what())))
}

/// Adds to an error in which checkpoint something can't be read.
pub(super) fn of_checkpoint(error: Error, id: &CheckpointId) -> Error {
    match error {
        Error::Corrupt { thread_id, what } => {
            corrupt(&thread_id, format!("checkpoint `{id}`: {what}"))
        }
        other => other,
    }
}

pub(super) fn corrupt(thread_id: &ThreadId, what: String) -> Error {
    Error::Corrupt {
        thread_id: thread_id.clone(),
        what,
    }
}
