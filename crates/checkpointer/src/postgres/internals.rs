//! What the micro-benchmarks measure, behind the feature `internals`. It is no part of the API.

use std::collections::{BTreeMap, HashSet};
use std::iter;
use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::Value;

use super::call::call;
use super::cut::{Cut, List};
use super::decode::Decoder;
use super::encode::{Encoder, NewChunk};
use super::meter::{self, UnderWay};
use crate::codec::{self, ContentHash};
use crate::{ChannelValues, ThreadId};

/// A channel, with what is known of the value put last: how it was cut, and which chunks it showed
/// to be stored.
#[derive(Debug, Default)]
pub struct Channel {
    known: Option<Cut>,
    stored: HashSet<ContentHash>,
}

impl Channel {
    /// Does what a put does on the client. Says how many chunks it would send.
    pub fn put(&mut self, value: &Value) -> usize {
        let known = self.known.take();
        self.known = Cut::of_channel(value, || known);
        let thread_id = thread_id();
        let is_stored = |hash: &ContentHash| self.stored.contains(hash);
        let mut encoder = Encoder::new(&thread_id, &is_stored);
        let mut out = Vec::new();
        let written = encoder.value(value, self.known.as_ref(), "channel", &mut out);
        let (relied, chunks) = (encoder.relied, encoder.chunks);
        // A value that is refused stores nothing.
        let sent = written.map_or(0, |()| chunks.len());
        self.stored = relied.into_iter().chain(chunks.into_keys()).collect();
        sent
    }
}

/// A channel's list that grows by puts which say what is new.
#[derive(Debug)]
pub struct Growing {
    lists: BTreeMap<String, List>,
    stored: HashSet<ContentHash>,
}

impl Growing {
    /// Stores a list.
    pub fn of(value: &Value) -> Self {
        let list = List::of(value.clone()).stored();
        let mut channel = Channel::default();
        channel.put(value);
        Self {
            lists: [("channel".to_owned(), list)].into(),
            stored: channel.stored,
        }
    }

    /// Does what a put does on the client that appends. Says how many chunks it would send.
    pub fn append(&mut self, items: &[Value]) -> usize {
        self.change(|list| list.append(items));
        let thread_id = thread_id();
        let is_stored = |hash: &ContentHash| self.stored.contains(hash);
        let mut encoder = Encoder::new(&thread_id, &is_stored);
        let written = encoder.channels(&ChannelValues::new(), iter::empty(), &self.lists);
        let sent = written.map_or(0, |_| encoder.chunks.len());
        self.stored = (encoder.relied.into_iter())
            .chain(encoder.chunks.into_keys())
            .collect();
        self.change(List::stored);
        sent
    }

    fn change(&mut self, change: impl Fn(List) -> List) {
        let lists = std::mem::take(&mut self.lists).into_iter();
        self.lists = lists.map(|(name, list)| (name, change(list))).collect();
    }
}

/// A value as it is stored.
#[derive(Debug)]
pub struct Stored {
    text: Vec<u8>,
    chunks: BTreeMap<ContentHash, NewChunk>,
}

impl Stored {
    /// Cuts and encodes a value; none if it can't be stored.
    pub fn of(value: &Value) -> Option<Self> {
        let cut = Cut::of_channel(value, || None);
        let thread_id = thread_id();
        let mut encoder = Encoder::new(&thread_id, &|_| false);
        let mut text = Vec::new();
        let written = encoder.value(value, cut.as_ref(), "channel", &mut text);
        written.ok()?;
        Some(Self {
            text,
            chunks: encoder.chunks,
        })
    }

    /// Decodes and verifies the value, as a `get_tuple` does.
    pub fn read(&self) -> Option<Value> {
        let thread_id = thread_id();
        let mut decoder = Decoder::of_one();
        for (hash, NewChunk { content, refs }) in &self.chunks {
            let taken = decoder.take_chunk(&thread_id, *hash, content.as_deref(), refs.as_deref());
            taken.ok()?;
        }
        let value = decoder.value(&thread_id, &self.text, "channel").ok()?;
        Some(Arc::unwrap_or_clone(value))
    }
}

/// Does what makes a put seen from outside, and nothing else.
pub fn see() {
    let thread_id = thread_id();
    let call = call!(
        "put",
        thread_id = thread_id.as_str(),
        checkpoint_ns = "",
        checkpoint_id = "id"
    );
    let put = async {
        let _under_way = UnderWay::new();
        meter::sent(1000, 1, 1);
        meter::batched(1);
        Ok(())
    };
    let _ = call.run(put).now_or_never();
}

/// Computes the hash of a value.
pub fn hash(value: &Value) -> [u8; 16] {
    *codec::hash(value).as_bytes()
}

/// Writes a value as it is stored; none if it can't be.
pub fn encode(value: &Value) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    codec::encode(value, &mut text).ok()?;
    Some(text)
}

/// Reads a value that was written by [`encode`].
pub fn decode(text: &[u8]) -> Option<Value> {
    codec::decode(text).ok()
}

fn thread_id() -> ThreadId {
    ThreadId::trusted("thread".to_owned())
}
