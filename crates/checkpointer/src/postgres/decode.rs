//! Values on their way back from the database.

mod assembler;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

pub(super) use self::assembler::unwrapped;
use self::assembler::{Assembler, MAX_READ};
use super::chunk::{Kind, Reference, unpack};
use super::encode::FORMAT;
use super::last_reads::{FoundList, ReadLists};
use crate::codec::{self, ContentHash, DecodeError, Form};
use crate::{
    ChannelValues, ChannelVersions, Checkpoint, CheckpointId, Error, Loaded, Metadata, Result,
    ThreadId, Version,
};

/// The chunks of a read, from which it makes values.
#[derive(Debug)]
pub(super) struct Decoder<'r> {
    chunks: HashMap<ThreadId, HashMap<ContentHash, Chunk<'r>>>,
    /// Whether parsed chunks are kept for further values, which then copy them, and large values for
    /// further channels and pending writes, which then share them.
    keeps: bool,
    /// The large values that were read and are kept.
    values: RefCell<HashMap<(ThreadId, Reference), Arc<Value>>>,
    /// The most bytes of chunks that make one value.
    at_most: usize,
    /// How many bytes of chunks have gone into values so far.
    bytes_read: Cell<usize>,
    /// The lists that were read last, if those of this read are to be put together with them.
    held: Option<&'r ReadLists>,
}

/// The values of channels.
#[derive(Debug, Default)]
pub(super) struct Channels {
    pub(super) values: ChannelValues,
    /// Lists that are to be put together with those that were read last.
    pub(super) lists: BTreeMap<String, FoundList>,
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
        parsed: RefCell<Option<(Value, Form)>>,
    },
    Node(Vec<ContentHash>),
}

impl<'r> Decoder<'r> {
    /// Makes a decoder for values that have no or few chunks in common.
    pub(super) fn of_one() -> Self {
        Self {
            chunks: HashMap::new(),
            keeps: false,
            values: RefCell::default(),
            at_most: MAX_READ,
            bytes_read: Cell::new(0),
            held: None,
        }
    }

    /// Makes a decoder for values whose lists may go on from those that were read last.
    pub(super) fn after(held: &'r ReadLists) -> Self {
        Self {
            held: Some(held),
            ..Self::of_one()
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

    /// Forgets the values that were read, but not the chunks that they were made of.
    #[cfg(test)]
    pub(super) fn forget_values(&self) {
        self.values.borrow_mut().clear();
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
    pub(super) fn channels(&self, thread_id: &ThreadId, stored: &[u8]) -> Result<Channels> {
        let read = |error| malformed(thread_id, "the channels", &error);
        let (Value::Object(stored), form) = codec::parse(stored).map_err(read)? else {
            return Err(corrupt(thread_id, "the channels: no object".to_owned()));
        };
        let mut channels = Channels::default();
        for (channel, stored) in stored {
            let channel = form.restore_key(channel).map_err(read)?;
            match self.list(thread_id, &stored, &channel)? {
                Some(list) => {
                    channels.lists.insert(channel, list);
                }
                None => {
                    let value = self.shared_value(thread_id, stored, form, &channel)?;
                    channels.values.insert_shared(channel, value);
                }
            }
        }
        Ok(channels)
    }

    /// Reads a list that is to be put together with the one that was read last.
    fn list(
        &self,
        thread_id: &ThreadId,
        stored: &Value,
        channel: &str,
    ) -> Result<Option<FoundList>> {
        let Some(held) = self.held else {
            return Ok(None);
        };
        let reference = stored.as_object().and_then(Reference::read);
        let Some(top) = reference.filter(|top| top.kind == Kind::Array) else {
            return Ok(None);
        };
        let read = |assembler: &mut Assembler<'_>| assembler.list(top, held.list(channel));
        self.assembled(thread_id, channel, read).map(Some)
    }

    /// Reads a value that further channels and pending writes may have as well.
    fn shared_value(
        &self,
        thread_id: &ThreadId,
        stored: Value,
        form: Form,
        channel: &str,
    ) -> Result<Arc<Value>> {
        let reference = stored.as_object().filter(|_| self.keeps);
        let name = reference.and_then(Reference::read);
        let name = name.map(|reference| (thread_id.clone(), reference));
        let known = name
            .as_ref()
            .and_then(|name| self.values.borrow().get(name).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let value = Arc::new(self.stored_value(thread_id, stored, form, channel)?);
        if let Some(name) = name {
            self.values.borrow_mut().insert(name, Arc::clone(&value));
        }
        Ok(value)
    }

    /// Reads a value of `channel`.
    pub(super) fn value(
        &self,
        thread_id: &ThreadId,
        stored: &[u8],
        channel: &str,
    ) -> Result<Arc<Value>> {
        let (stored, form) = codec::parse(stored)
            .map_err(|error| malformed(thread_id, &format!("channel `{channel}`"), &error))?;
        self.shared_value(thread_id, stored, form, channel)
    }

    fn stored_value(
        &self,
        thread_id: &ThreadId,
        stored: Value,
        form: Form,
        channel: &str,
    ) -> Result<Value> {
        let (value, _) = self.assembled(thread_id, channel, |assembler| {
            assembler.entry(stored, form, 0)
        })?;
        Ok(value)
    }

    /// Makes something of a channel's chunks.
    fn assembled<T>(
        &self,
        thread_id: &ThreadId,
        channel: &str,
        make: impl FnOnce(&mut Assembler<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut assembler = Assembler {
            thread_id,
            chunks: self.chunks.get(thread_id),
            held: self.held,
            keeps: self.keeps,
            channel,
            left: self.at_most,
        };
        let made = make(&mut assembler)?;
        let bytes = self.at_most - assembler.left;
        self.bytes_read.set(self.bytes_read.get() + bytes);
        Ok(made)
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
    codec::decode(stored).map_err(|error| malformed(thread_id, &what(), &error))
}

fn malformed(thread_id: &ThreadId, what: &str, error: &DecodeError) -> Error {
    corrupt(thread_id, format!("{what}: {error}"))
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
