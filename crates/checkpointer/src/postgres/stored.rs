//! The stored form of values and checkpoints.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::codec::{self, ContentHash, Refused};
use crate::{
    ChannelVersions, Checkpoint, CheckpointId, Error, Loaded, Metadata, Result, ThreadId, Version,
};

/// The format of a checkpoint's own fields.
const FORMAT: i64 = 1;

/// The key that refers to a chunk.
const CHUNK: &str = "c";

/// About the longest encoding that is stored with the checkpoint itself.
const INLINE_BYTES: usize = 256;

/// Values on their way to the database: small ones as they are, large ones by their hash.
#[derive(Debug)]
pub(super) struct Encoder<'a> {
    thread_id: &'a ThreadId,
    /// The chunks already known to be stored.
    stored: &'a HashSet<ContentHash>,
    /// The chunks to store, by hash: rows are locked in this order.
    pub(super) chunks: BTreeMap<ContentHash, Vec<u8>>,
    /// The chunks relied on.
    pub(super) relied: HashSet<ContentHash>,
}

/// The large values among `values`, by hash.
pub(super) fn hashes<'a>(
    values: impl Iterator<Item = &'a Value>,
) -> impl Iterator<Item = ContentHash> {
    values.filter(|value| !is_small(value)).map(codec::hash)
}

impl<'a> Encoder<'a> {
    pub(super) fn new(thread_id: &'a ThreadId, stored: &'a HashSet<ContentHash>) -> Self {
        Self {
            thread_id,
            stored,
            chunks: BTreeMap::new(),
            relied: HashSet::new(),
        }
    }

    /// Writes `[value]`, or `{"c": hash}` and notes the chunk.
    pub(super) fn value(&mut self, value: &Value, place: &str, out: &mut Vec<u8>) -> Result<()> {
        if is_small(value) {
            out.push(b'[');
            self.json(value, place, out)?;
            out.push(b']');
            return Ok(());
        }
        let hash = codec::hash(value);
        if self.stored.contains(&hash) {
            self.relied.insert(hash);
        } else if !self.chunks.contains_key(&hash) {
            let mut content = Vec::new();
            self.json(value, place, &mut content)?;
            self.chunks.insert(hash, content);
        }
        out.extend_from_slice(format!("{{\"{CHUNK}\":\"{hash}\"}}").as_bytes());
        Ok(())
    }

    /// Writes the values of channels as one object.
    pub(super) fn channels(&mut self, values: &BTreeMap<String, Value>) -> Result<Vec<u8>> {
        let mut out = vec![b'{'];
        for (index, (channel, value)) in values.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            codec::encode_key(channel, &mut out)
                .map_err(|refused| unstorable(self.thread_id, "a channel's name", &refused))?;
            out.push(b':');
            self.value(value, &format!("channel `{channel}`"), &mut out)?;
        }
        out.push(b'}');
        Ok(out)
    }

    /// Writes a value as it is.
    pub(super) fn json(&self, value: &Value, place: &str, out: &mut Vec<u8>) -> Result<()> {
        codec::encode(value, out).map_err(|refused| unstorable(self.thread_id, place, &refused))
    }

    /// Writes an object as it is.
    pub(super) fn object(&self, object: &Map<String, Value>, place: &str) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        codec::encode_object(object, &mut out)
            .map_err(|refused| unstorable(self.thread_id, place, &refused))?;
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

/// Whether a value's encoding is at most about [`INLINE_BYTES`] long.
fn is_small(value: &Value) -> bool {
    fn take(value: &Value, room: &mut usize) -> bool {
        let own = match value {
            Value::String(text) => text.len() + 2,
            Value::Array(items) => 2 + items.len(),
            Value::Object(fields) => 2 + 2 * fields.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        };
        if own > *room {
            return false;
        }
        *room -= own;
        match value {
            Value::Array(items) => items.iter().all(|item| take(item, room)),
            Value::Object(fields) => fields.iter().all(|(key, field)| {
                let fits = key.len() + 2 <= *room;
                *room = room.saturating_sub(key.len() + 2);
                fits && take(field, room)
            }),
            _ => true,
        }
    }
    take(value, &mut { INLINE_BYTES })
}

/// Values on their way back from the database.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    chunks: HashMap<ThreadId, HashMap<ContentHash, Value>>,
}

impl Decoder {
    /// Takes a chunk, and checks that its content is what its hash says.
    pub(super) fn take_chunk(
        &mut self,
        thread_id: &ThreadId,
        hash: ContentHash,
        content: &[u8],
    ) -> Result<()> {
        let value = json(thread_id, content, || format!("chunk {hash}"))?;
        if codec::hash(&value) != hash {
            let what = format!("the content of chunk {hash} doesn't match its hash");
            return Err(corrupt(thread_id, what));
        }
        self.chunks
            .entry(thread_id.clone())
            .or_default()
            .insert(hash, value);
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
        match stored {
            Value::Array(mut inline) if inline.len() == 1 => Ok(inline.remove(0)),
            Value::Object(reference) => {
                let hash = reference
                    .get(CHUNK)
                    .and_then(Value::as_str)
                    .and_then(|hash| hash.parse::<ContentHash>().ok());
                let Some(hash) = hash else {
                    return Err(corrupt(
                        thread_id,
                        format!("channel `{channel}` refers to no chunk"),
                    ));
                };
                let chunks = self.chunks.get(thread_id);
                chunks
                    .and_then(|chunks| chunks.get(&hash))
                    .cloned()
                    .ok_or_else(|| {
                        corrupt(
                            thread_id,
                            format!("chunk {hash} of channel `{channel}` is missing"),
                        )
                    })
            }
            _ => Err(corrupt(
                thread_id,
                format!("channel `{channel}` is stored in an unknown form"),
            )),
        }
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

/// A value was refused before it was sent.
pub(super) fn unstorable(thread_id: &ThreadId, place: &str, refused: &Refused) -> Error {
    Error::Unstorable {
        thread_id: thread_id.clone(),
        place: place.to_owned(),
        path: refused.path.to_string(),
        reason: refused.reason.to_string(),
    }
}
