//! Values on their way back from the database.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::chunk::{Kind, Reference, items_hash, members_hash, node_hash, unpack};
use super::encode::FORMAT;
use crate::codec::{self, ContentHash};
use crate::{
    ChannelVersions, Checkpoint, CheckpointId, Error, Loaded, Metadata, Result, ThreadId, Version,
};

/// The chunks of a read, from which it makes values.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    chunks: HashMap<ThreadId, HashMap<ContentHash, Chunk>>,
}

#[derive(Debug)]
enum Chunk {
    /// A leaf's content, whose hash depends on the kind of tree it is in.
    Leaf(Value),
    Node(Vec<ContentHash>),
}

impl Decoder {
    /// Takes a chunk.
    pub(super) fn take_chunk(
        &mut self,
        thread_id: &ThreadId,
        hash: ContentHash,
        content: Option<&[u8]>,
        refs: Option<&[u8]>,
    ) -> Result<()> {
        let chunk = match (content, refs.and_then(unpack)) {
            (Some(content), _) => {
                Chunk::Leaf(json(thread_id, content, || format!("chunk {hash}"))?)
            }
            (None, Some(children)) => Chunk::Node(children),
            (None, None) => return Err(corrupt(thread_id, format!("chunk {hash} is empty"))),
        };
        self.chunks
            .entry(thread_id.clone())
            .or_default()
            .insert(hash, chunk);
        Ok(())
    }

    /// The hashes of a thread's chunks that were taken.
    pub(super) fn hashes(&self, thread_id: &ThreadId) -> impl Iterator<Item = ContentHash> {
        let chunks = self.chunks.get(thread_id);
        chunks.into_iter().flat_map(|chunks| chunks.keys().copied())
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
        let assembler = Assembler {
            thread_id,
            chunks: self.chunks.get(thread_id),
            channel,
        };
        Ok(assembler.entry(stored)?.0)
    }
}

/// Makes the value of one channel, and checks each chunk against its hash.
struct Assembler<'a> {
    thread_id: &'a ThreadId,
    chunks: Option<&'a HashMap<ContentHash, Chunk>>,
    channel: &'a str,
}

impl Assembler<'_> {
    /// Makes the value of `[value]` or of a reference, with its hash as part of another's.
    fn entry(&self, stored: Value) -> Result<(Value, ContentHash)> {
        match stored {
            Value::Array(mut inline) if inline.len() == 1 => {
                let value = inline.remove(0);
                let hash = codec::hash(&value);
                Ok((value, hash))
            }
            Value::Object(stored) => {
                let reference = Reference::read(&stored)
                    .ok_or_else(|| self.corrupt("has a reference in an unknown form"))?;
                let value = self.refer(&reference)?;
                Ok((value, reference.hash()))
            }
            _ => Err(self.corrupt("is stored in an unknown form")),
        }
    }

    fn refer(&self, reference: &Reference) -> Result<Value> {
        match reference.kind {
            Kind::Value => match &reference.parts[..] {
                [hash] => {
                    let value = self.leaf(hash)?;
                    self.check(hash, codec::hash(value))?;
                    Ok(value.clone())
                }
                _ => Err(self.corrupt("refers to no chunk")),
            },
            Kind::Array => {
                let mut items = Vec::new();
                for hash in self.leaves(reference)? {
                    self.items(&hash, &mut items)?;
                }
                Ok(Value::Array(items))
            }
            Kind::Object => {
                let mut members = Map::new();
                for hash in self.leaves(reference)? {
                    self.members(&hash, &mut members)?;
                }
                Ok(Value::Object(members))
            }
        }
    }

    /// The hashes of a tree's leaves, in order.
    fn leaves(&self, reference: &Reference) -> Result<Vec<ContentHash>> {
        let mut hashes = reference.parts.clone();
        for _ in 0..reference.depth {
            let mut below = Vec::new();
            for hash in hashes {
                let Chunk::Node(children) = self.chunk(&hash)? else {
                    return Err(self.corrupt(&format!("has a leaf, chunk {hash}, for a node")));
                };
                self.check(&hash, node_hash(children.iter()))?;
                below.extend_from_slice(children);
            }
            hashes = below;
        }
        Ok(hashes)
    }

    fn items(&self, hash: &ContentHash, items: &mut Vec<Value>) -> Result<()> {
        let mut hashes = Vec::new();
        match self.leaf(hash)? {
            Value::Array(plain) => {
                hashes.extend(plain.iter().map(codec::hash));
                items.extend_from_slice(plain);
            }
            Value::Object(mixed) => {
                let Some(Value::Array(entries)) = mixed.get("m") else {
                    return Err(self.corrupt(&format!("has an unknown form of chunk, {hash}")));
                };
                for entry in entries {
                    let (item, hash) = self.entry(entry.clone())?;
                    items.push(item);
                    hashes.push(hash);
                }
            }
            _ => return Err(self.corrupt(&format!("has an unknown form of chunk, {hash}"))),
        }
        self.check(hash, items_hash(hashes.iter()))
    }

    fn members(&self, hash: &ContentHash, members: &mut Map<String, Value>) -> Result<()> {
        let mut hashes = BTreeMap::new();
        match self.leaf(hash)? {
            Value::Array(plain) => {
                let [Value::Object(plain)] = &plain[..] else {
                    return Err(self.corrupt(&format!("has an unknown form of chunk, {hash}")));
                };
                for (key, value) in plain {
                    hashes.insert(key.as_str(), codec::hash(value));
                    members.insert(key.clone(), value.clone());
                }
            }
            Value::Object(mixed) => {
                let Some(Value::Object(entries)) = mixed.get("m") else {
                    return Err(self.corrupt(&format!("has an unknown form of chunk, {hash}")));
                };
                for (key, entry) in entries {
                    let (value, hash) = self.entry(entry.clone())?;
                    hashes.insert(key.as_str(), hash);
                    members.insert(key.clone(), value);
                }
            }
            _ => return Err(self.corrupt(&format!("has an unknown form of chunk, {hash}"))),
        }
        let found = members_hash(hashes.iter().map(|(key, hash)| (*key, hash)));
        self.check(hash, found)
    }

    fn leaf(&self, hash: &ContentHash) -> Result<&Value> {
        match self.chunk(hash)? {
            Chunk::Leaf(content) => Ok(content),
            Chunk::Node(_) => Err(self.corrupt(&format!("has a node, chunk {hash}, for a leaf"))),
        }
    }

    fn chunk(&self, hash: &ContentHash) -> Result<&Chunk> {
        let chunk = self.chunks.and_then(|chunks| chunks.get(hash));
        chunk.ok_or_else(|| self.corrupt(&format!("misses chunk {hash}")))
    }

    fn check(&self, hash: &ContentHash, found: ContentHash) -> Result<()> {
        if *hash == found {
            return Ok(());
        }
        Err(self.corrupt(&format!(
            "has chunk {hash}, whose content doesn't match its hash"
        )))
    }

    fn corrupt(&self, what: &str) -> Error {
        corrupt(self.thread_id, format!("channel `{}` {what}", self.channel))
    }
}

/// Reads a checkpoint's own fields.
pub(super) fn checkpoint(
    thread_id: &ThreadId,
    id: CheckpointId,
    stored: Option<&[u8]>,
) -> Result<Checkpoint> {
    let wrong = |what: &str| corrupt(thread_id, format!("checkpoint `{id}`: {what}"));
    let mut checkpoint = Checkpoint::new(id.clone());
    let Some(stored) = stored else {
        checkpoint.ts = String::new();
        return Ok(checkpoint.with_loaded(Loaded::Nothing));
    };
    let mut fields = object(thread_id, stored, || format!("checkpoint `{id}`"))?;
    match fields.get("format").and_then(Value::as_i64) {
        Some(FORMAT) => {}
        Some(newer) => {
            return Err(wrong(&format!(
                "its format is {newer}, this program reads up to {FORMAT}"
            )));
        }
        None => return Err(wrong("its format is missing")),
    }
    checkpoint.v = fields
        .get("v")
        .and_then(Value::as_i64)
        .ok_or_else(|| wrong("`v` is no integer"))?;
    checkpoint.ts = match fields.remove("ts") {
        Some(Value::String(ts)) => ts,
        _ => return Err(wrong("`ts` is no text")),
    };
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
    if let Some(Value::Object(extra)) = fields.remove("extra") {
        checkpoint.extra = extra;
    }
    Ok(checkpoint)
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

pub(super) fn corrupt(thread_id: &ThreadId, what: String) -> Error {
    Error::Corrupt {
        thread_id: thread_id.clone(),
        what,
    }
}
