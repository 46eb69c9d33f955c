#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, HashSet};

use serde_json::{Value, json};

use super::Cut;
use crate::ThreadId;
use crate::codec::ContentHash;
use crate::codec::tests::through_jsonb;
use crate::postgres::decode::Decoder;
use crate::postgres::encode::{Encoder, NewChunk};
use crate::postgres::memo::Known;

mod boundaries;
mod corruption;
mod limits;
mod round_trip;

/// A value as it is sent.
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
        let mut decoder = Decoder::default();
        for (hash, chunk) in &self.chunks {
            let content = chunk.content.as_deref().map(through_jsonb);
            decoder.take_chunk(&thread(), *hash, content.as_deref(), chunk.refs.as_deref())?;
        }
        decoder.value(&thread(), &through_jsonb(&self.stored), "a")
    }
}

fn thread() -> ThreadId {
    ThreadId::new("thread").unwrap()
}

fn try_send(value: &Value, stored: &HashSet<ContentHash>) -> crate::Result<Sent> {
    let mut cut = Cut::default();
    let reference = cut.value(value, &mut Known::default());
    let thread = thread();
    let mut encoder = Encoder::new(&thread, &cut, stored);
    let mut out = Vec::new();
    encoder.value(value, reference.as_ref(), "channel `a`", &mut out)?;
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
