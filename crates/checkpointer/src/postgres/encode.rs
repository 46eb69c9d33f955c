//! Values on their way to the database.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::chunk::{Reference, pack};
use super::cut::{Chunk, Cut};
use crate::codec::{self, ContentHash, Refused};
use crate::{ChannelVersions, Checkpoint, Error, Result, ThreadId};

/// The format of a checkpoint's own fields.
pub(super) const FORMAT: i64 = 1;

/// A chunk to store.
#[derive(Debug)]
pub(super) struct NewChunk {
    /// The content of a leaf; an inner node has none.
    pub(super) content: Option<Vec<u8>>,
    /// The chunks it refers to, packed.
    pub(super) refs: Option<Vec<u8>>,
}

/// Writes values: small ones as they are, large ones as references to chunks, of which it collects
/// those that aren't stored yet.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    thread_id: &'a ThreadId,
    /// The values, cut.
    cut: &'a Cut<'a>,
    /// The chunks known to be stored, each with everything below it.
    stored: &'a HashSet<ContentHash>,
    /// The chunks to store, by hash: rows are locked in this order.
    pub(super) chunks: BTreeMap<ContentHash, NewChunk>,
    /// The chunks relied on: the topmost ones.
    pub(super) relied: HashSet<ContentHash>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(
        thread_id: &'a ThreadId,
        cut: &'a Cut<'a>,
        stored: &'a HashSet<ContentHash>,
    ) -> Self {
        Self {
            thread_id,
            cut,
            stored,
            chunks: BTreeMap::new(),
            relied: HashSet::new(),
        }
    }

    /// Writes `[value]`, or a reference whose chunks it collects.
    pub(super) fn value(
        &mut self,
        value: &Value,
        reference: Option<&Reference>,
        place: &str,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match reference {
            None => {
                out.push(b'[');
                self.json(value, place, out)?;
                out.push(b']');
            }
            Some(reference) => {
                // Each chunk is refused for what it holds; and what is stored isn't looked at again.
                if self.cut.is_doubtful(reference) {
                    self.json(value, place, &mut Vec::new())?;
                }
                self.collect(&reference.parts)
                    .map_err(|refused| Error::unstorable(self.thread_id, place, &refused))?;
                reference.write(out);
            }
        }
        Ok(())
    }

    /// Collects the chunks that aren't stored, with those below them.
    fn collect(&mut self, hashes: &[ContentHash]) -> Result<(), Refused> {
        for hash in hashes {
            if self.stored.contains(hash) {
                self.relied.insert(*hash);
                continue;
            }
            if self.chunks.contains_key(hash) {
                continue;
            }
            let Some(chunk) = self.cut.chunk(hash) else {
                continue;
            };
            let new = self.chunk(chunk)?;
            self.chunks.insert(*hash, new);
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk<'_>) -> Result<NewChunk, Refused> {
        let mut out = Vec::new();
        let mut refs = Vec::new();
        match chunk {
            Chunk::Value(value) => codec::encode(value, &mut out)?,
            Chunk::Node(children) => {
                self.collect(children)?;
                return Ok(NewChunk {
                    content: None,
                    refs: Some(pack(children)),
                });
            }
            Chunk::Items {
                first,
                items,
                references,
            } => {
                let nested = !references.is_empty();
                out.extend_from_slice(if nested { b"{\"m\":[" } else { b"[" });
                for (place, item) in items.iter().enumerate() {
                    separate(place, &mut out);
                    self.part(item, references.get(&place), nested, &mut refs, &mut out)
                        .map_err(|refused| refused.in_index(first + place))?;
                }
                out.extend_from_slice(if nested { b"]}" } else { b"]" });
            }
            Chunk::Members {
                members,
                references,
            } => {
                let nested = !references.is_empty();
                out.extend_from_slice(if nested { b"{\"m\":{" } else { b"[{" });
                for (place, (key, value)) in members.iter().enumerate() {
                    separate(place, &mut out);
                    codec::encode_key(key, &mut out)?;
                    out.push(b':');
                    self.part(value, references.get(&place), nested, &mut refs, &mut out)
                        .map_err(|refused| refused.in_key(key))?;
                }
                out.extend_from_slice(if nested { b"}}" } else { b"}]" });
            }
        }
        Ok(NewChunk {
            content: Some(out),
            refs: (!refs.is_empty()).then(|| pack(&refs)),
        })
    }

    fn part(
        &mut self,
        value: &Value,
        reference: Option<&Reference>,
        nested: bool,
        refs: &mut Vec<ContentHash>,
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        match reference {
            Some(reference) => {
                self.collect(&reference.parts)?;
                refs.extend_from_slice(&reference.parts);
                reference.write(out);
            }
            None if nested => {
                out.push(b'[');
                codec::encode(value, out)?;
                out.push(b']');
            }
            None => codec::encode(value, out)?,
        }
        Ok(())
    }

    /// Writes the values of channels as one object.
    pub(super) fn channels(
        &mut self,
        values: &BTreeMap<String, Value>,
        references: &[Option<Reference>],
    ) -> Result<Vec<u8>> {
        let mut out = vec![b'{'];
        for (index, ((channel, value), reference)) in values.iter().zip(references).enumerate() {
            separate(index, &mut out);
            codec::encode_key(channel, &mut out).map_err(|refused| {
                Error::unstorable(self.thread_id, "a channel's name", &refused)
            })?;
            out.push(b':');
            let place = format!("channel `{channel}`");
            self.value(value, reference.as_ref(), &place, &mut out)?;
        }
        out.push(b'}');
        Ok(out)
    }

    /// Writes a value as it is.
    pub(super) fn json(&self, value: &Value, place: &str, out: &mut Vec<u8>) -> Result<()> {
        codec::encode(value, out)
            .map_err(|refused| Error::unstorable(self.thread_id, place, &refused))
    }

    /// Writes an object as it is.
    pub(super) fn object(&self, object: &Map<String, Value>, place: &str) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        codec::encode_object(object, &mut out)
            .map_err(|refused| Error::unstorable(self.thread_id, place, &refused))?;
        Ok(out)
    }

    /// Writes a checkpoint's own fields.
    pub(super) fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>> {
        let mut fields = Map::new();
        fields.insert("format".to_owned(), Value::from(FORMAT));
        fields.insert("v".to_owned(), Value::from(checkpoint.v));
        fields.insert("ts".to_owned(), Value::from(checkpoint.ts.as_str()));
        fields.insert(
            "channel_versions".to_owned(),
            versions_to_json(&checkpoint.channel_versions),
        );
        let seen = checkpoint.versions_seen.iter();
        fields.insert(
            "versions_seen".to_owned(),
            Value::Object(
                seen.map(|(node, versions)| (node.clone(), versions_to_json(versions)))
                    .collect(),
            ),
        );
        if let Some(channels) = &checkpoint.updated_channels {
            fields.insert(
                "updated_channels".to_owned(),
                Value::from(channels.as_slice()),
            );
        }
        if !checkpoint.extra.is_empty() {
            fields.insert("extra".to_owned(), Value::Object(checkpoint.extra.clone()));
        }
        self.object(&fields, "the checkpoint's own fields")
    }

    /// Writes the versions of channels that keep their parent's value.
    pub(super) fn versions(&self, versions: &ChannelVersions) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.json(
            &versions_to_json(versions),
            "the channel versions",
            &mut out,
        )?;
        Ok(out)
    }
}

/// The channels that have a version but no value, and didn't change.
pub(super) fn unchanged(
    checkpoint: &Checkpoint,
    new_versions: &ChannelVersions,
) -> ChannelVersions {
    checkpoint
        .channel_versions
        .iter()
        .filter(|(channel, _)| {
            !checkpoint.channel_values.contains_key(*channel)
                && !new_versions.contains_key(*channel)
        })
        .map(|(channel, version)| (channel.clone(), version.clone()))
        .collect()
}

fn versions_to_json(versions: &ChannelVersions) -> Value {
    Value::Object(
        versions
            .iter()
            .map(|(channel, version)| (channel.clone(), version.to_json()))
            .collect(),
    )
}

fn separate(index: usize, out: &mut Vec<u8>) {
    if index > 0 {
        out.push(b',');
    }
}
