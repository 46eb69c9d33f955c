#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::Cut;
use crate::ThreadId;
use crate::codec::ContentHash;
use crate::codec::tests::{same, through_jsonb};
use crate::postgres::decode::Decoder;
use crate::postgres::encode::{Encoder, NewChunk};

mod appended;
mod boundaries;
mod corruption;
mod hostile;
mod key_order;
mod limits;
mod round_trip;
mod shared;

/// A value as it is sent.
#[derive(Debug)]
struct Sent {
    stored: Vec<u8>,
    chunks: BTreeMap<ContentHash, NewChunk>,
    relied: HashSet<ContentHash>,
}

impl Sent {
    fn hashes(&self) -> HashSet<ContentHash> {
        self.chunks.keys().copied().collect()
    }

    /// How many bytes of chunks there are.
    fn bytes(&self) -> usize {
        let columns = |chunk: &NewChunk| {
            let [content, refs] = [&chunk.content, &chunk.refs].map(Option::as_deref);
            content.map_or(0, <[u8]>::len) + refs.map_or(0, <[u8]>::len)
        };
        self.chunks.values().map(columns).sum()
    }

    /// Reads the value as the server gives it back.
    fn read(&self) -> crate::Result<Value> {
        let chunks = self.chunks.iter().map(|(hash, chunk)| {
            let [content, refs] = [&chunk.content, &chunk.refs];
            let content = content.as_deref().map(through_jsonb);
            let refs = refs.clone();
            (*hash, NewChunk { content, refs })
        });
        let server = Self {
            stored: through_jsonb(&self.stored),
            chunks: chunks.collect(),
            relied: HashSet::new(),
        };
        let value = server.decoded(Decoder::of_many())?;
        assert!(same(&server.decoded(Decoder::of_one())?, &value));
        Ok(value)
    }

    /// Reads the value twice from the same chunks.
    fn decoded<'r>(&'r self, mut decoder: Decoder<'r>) -> crate::Result<Value> {
        let thread = thread();
        self.chunks_for(&mut decoder)?;
        let value = decoder.value(&thread, &self.stored, "a")?;
        decoder.forget_values();
        let again = decoder.value(&thread, &self.stored, "a")?;
        assert!(same(&again, &value));
        Ok(Arc::unwrap_or_clone(value))
    }

    fn chunks_for<'r>(&'r self, decoder: &mut Decoder<'r>) -> crate::Result<()> {
        for (hash, NewChunk { content, refs }) in &self.chunks {
            decoder.take_chunk(&thread(), *hash, content.as_deref(), refs.as_deref())?;
        }
        Ok(())
    }
}

fn thread() -> ThreadId {
    ThreadId::new("thread").unwrap()
}

fn try_send(value: &Value, stored: &HashSet<ContentHash>) -> crate::Result<Sent> {
    let cut = Cut::of_channel(value, || None);
    let thread = thread();
    let is_stored = |hash: &ContentHash| stored.contains(hash);
    let mut encoder = Encoder::new(&thread, &is_stored);
    let mut out = Vec::new();
    encoder.value(value, cut.as_ref(), "channel `a`", &mut out)?;
    Ok(Sent {
        stored: out,
        chunks: encoder.chunks,
        relied: encoder.relied,
    })
}

/// Sends a value to a thread that has nothing yet.
fn send(value: &Value) -> Sent {
    try_send(value, &HashSet::new()).unwrap()
}

/// A message of an agent, of about 500 bytes, different for each `n`.
fn message(n: usize) -> Value {
    let mut rng = fastrand::Rng::with_seed(n as u64);
    let words: Vec<String> = (0..70).map(|_| rng.u32(..1_000_000).to_string()).collect();
    json!({ "type": "ai", "id": format!("m-{n}"), "content": words.join(" ") })
}

fn messages(numbers: impl IntoIterator<Item = usize>) -> Value {
    numbers.into_iter().map(message).collect()
}
