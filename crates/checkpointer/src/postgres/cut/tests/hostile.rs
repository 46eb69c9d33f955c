//! Stored rows that nobody of this crate wrote: each is read as what was put, or is an error, at a
//! cost that is bounded.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use expect_test::expect;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Map, Value, json};

use super::{Sent, messages, send, thread};
use crate::codec::tests::{any_value, same};
use crate::codec::{self, ContentHash};
use crate::postgres::chunk::{Kind, Reference, items_hash, members_hash, node_hash, pack};
use crate::postgres::decode::{self, Decoder};
use crate::postgres::encode::NewChunk;
use crate::{CheckpointId, Error, Loaded};

/// Reads a value, of whose chunks no more than `bytes` may be read.
fn read(sent: &Sent, bytes: usize) -> crate::Result<Value> {
    let thread = thread();
    let mut read = Vec::new();
    for decoder in [Decoder::of_one(), Decoder::of_many()] {
        let mut decoder = decoder.reading_at_most(bytes);
        for (hash, NewChunk { content, refs }) in &sent.chunks {
            decoder.take_chunk(&thread, *hash, content.as_deref(), refs.as_deref())?;
        }
        read.push(decoder.value(&thread, &sent.stored, "a"));
    }
    let [one, many] = <[_; 2]>::try_from(read).unwrap();
    match (&one, &many) {
        (Ok(one), Ok(many)) => assert!(same(one, many)),
        (Err(one), Err(many)) => assert_eq!(one.to_string(), many.to_string()),
        other => panic!("{other:?}"),
    }
    one.map(Arc::unwrap_or_clone)
}

/// How many values there are in a value.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

fn is_corrupt(error: &Error) -> bool {
    matches!(error, Error::Corrupt { thread_id, what } if *thread_id == thread() && !what.is_empty())
}

/// A chunk, or a reference, to be made of others by their places.
#[derive(Debug, Clone)]
enum Plan {
    Node(Vec<Index>),
    Plain(Value),
    /// Items or members, each a value or a reference to a tree.
    Mixed(bool, Vec<Entry>),
}

#[derive(Debug, Clone)]
enum Entry {
    Inline(Value),
    Refer(char, u64, Vec<Index>),
}

fn entry() -> impl Strategy<Value = Entry> {
    let depth = prop_oneof![4 => 0..4_u64, 1 => any::<u64>()];
    let refer = (select(vec!['v', 'a', 'A', 'o', 'O', 'x']), depth, places());
    prop_oneof![
        1 => any_value().prop_map(Entry::Inline),
        3 => refer.prop_map(|(kind, depth, parts)| Entry::Refer(kind, depth, parts)),
    ]
}

fn places() -> impl Strategy<Value = Vec<Index>> {
    prop::collection::vec(any::<Index>(), 0..6)
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        3 => places().prop_map(Plan::Node),
        1 => any_value().prop_map(Plan::Plain),
        1 => prop::collection::vec(any_value(), 0..4).prop_map(|items| Plan::Plain(items.into())),
        4 => (any::<bool>(), prop::collection::vec(entry(), 0..4))
            .prop_map(|(object, entries)| Plan::Mixed(object, entries)),
    ]
}

/// Where a chunk that is named by an index lies: anywhere, or among those that are made already.
type Find<'a> = &'a dyn Fn(&Index) -> ContentHash;

fn reference(kind: char, depth: u64, parts: &[Index], find: Find<'_>) -> Value {
    let mut stored = Vec::new();
    let parts = parts.iter().map(find).collect();
    Reference {
        kind: Kind::Array,
        nested: false,
        depth: 0,
        parts,
    }
    .write(&mut stored);
    let mut stored: Value = serde_json::from_slice(&stored).unwrap();
    stored["k"] = Value::from(kind.to_string());
    stored["d"] = Value::from(depth);
    stored
}

impl Plan {
    /// The chunk, and the hash that it has if it is used as it should be.
    fn make(&self, find: Find<'_>) -> (NewChunk, ContentHash) {
        let entry = |entry: &Entry| match entry {
            Entry::Inline(value) => (json!([value]), codec::hash(value)),
            Entry::Refer(kind, depth, parts) => {
                let stored = reference(*kind, *depth, parts, find);
                let read = stored.as_object().and_then(Reference::read);
                let hash = read.map_or_else(|| codec::hash(&stored), |read| read.hash());
                (stored, hash)
            }
        };
        let (content, hash) = match self {
            Self::Node(children) => {
                let children: Vec<_> = children.iter().map(find).collect();
                let refs = Some(pack(&children));
                return (
                    NewChunk {
                        content: None,
                        refs,
                    },
                    node_hash(children.iter()),
                );
            }
            Self::Plain(value) => {
                let hash = match value {
                    Value::Array(items) => {
                        items_hash(items.iter().map(codec::hash).collect::<Vec<_>>().iter())
                    }
                    value => codec::hash(value),
                };
                (value.clone(), hash)
            }
            Self::Mixed(false, entries) => {
                let (stored, hashes): (Vec<_>, Vec<_>) = entries.iter().map(entry).unzip();
                (json!({ "m": stored }), items_hash(hashes.iter()))
            }
            Self::Mixed(true, entries) => {
                let entries = entries.iter().enumerate();
                let entries: BTreeMap<_, _> = entries
                    .map(|(n, of)| (format!("key {n}"), entry(of)))
                    .collect();
                let hash =
                    members_hash(entries.iter().map(|(key, (_, hash))| (Some(&**key), hash)));
                let stored: Map<_, _> = entries
                    .into_iter()
                    .map(|(key, (stored, _))| (key, stored))
                    .collect();
                (json!({ "m": stored }), hash)
            }
        };
        let mut text = Vec::new();
        codec::encode(&content, &mut text).unwrap();
        (
            NewChunk {
                content: Some(text),
                refs: None,
            },
            hash,
        )
    }
}

/// Rows that refer to each other in any way, in circles too, under hashes that aren't theirs.
fn tangle() -> impl Strategy<Value = Sent> {
    (prop::collection::vec(plan(), 1..8), entry()).prop_map(|(plans, top)| {
        let hashes: Vec<_> = (0..plans.len()).map(|n| codec::hash(&json!(n))).collect();
        let find = |place: &Index| *place.get(&hashes);
        let chunks = plans.iter().zip(&hashes);
        let chunks = chunks
            .map(|(plan, hash)| (*hash, plan.make(&find).0))
            .collect();
        sent(&top, chunks, &find)
    })
}

/// Rows under their right hashes, each of which may name those before it many times over.
fn tower() -> impl Strategy<Value = Sent> {
    (prop::collection::vec(plan(), 1..24), entry()).prop_map(|(plans, top)| {
        let mut hashes = vec![codec::hash(&json!("missing"))];
        let mut chunks = BTreeMap::new();
        for plan in plans {
            // Mostly the last ones, so that the tower is high.
            let find = |place: &Index| hashes[hashes.len() - 1 - place.index(hashes.len().min(2))];
            let (chunk, hash) = plan.make(&find);
            chunks.insert(hash, chunk);
            hashes.push(hash);
        }
        let find = |place: &Index| hashes[hashes.len() - 1 - place.index(hashes.len().min(2))];
        sent(&top, chunks, &find)
    })
}

fn sent(top: &Entry, chunks: BTreeMap<ContentHash, NewChunk>, find: Find<'_>) -> Sent {
    let stored = match top {
        Entry::Inline(value) => json!([value]),
        Entry::Refer(kind, depth, parts) => reference(*kind, *depth, parts, find),
    };
    let mut text = Vec::new();
    codec::encode(&stored, &mut text).unwrap();
    Sent {
        stored: text,
        chunks,
        relied: HashSet::new(),
    }
}

/// What happens to a chunk.
#[derive(Debug, Clone)]
enum Damage {
    Remove,
    Byte(bool, Index, u8),
    Truncate(bool, Index),
    TakeOther(bool, Index),
    Content(Value),
    Refs(Vec<u8>),
    Swap(Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Remove),
        (any::<bool>(), any::<Index>(), any::<u8>())
            .prop_map(|(refs, at, byte)| Damage::Byte(refs, at, byte)),
        (any::<bool>(), any::<Index>()).prop_map(|(refs, at)| Damage::Truncate(refs, at)),
        (any::<bool>(), any::<Index>()).prop_map(|(refs, from)| Damage::TakeOther(refs, from)),
        any_value().prop_map(Damage::Content),
        prop::collection::vec(any::<u8>(), 0..50).prop_map(Damage::Refs),
        any::<Index>().prop_map(Damage::Swap),
    ]
}

impl Damage {
    fn apply(&self, at: &Index, chunks: &mut BTreeMap<ContentHash, NewChunk>) {
        let hashes: Vec<_> = chunks.keys().copied().collect();
        let hash = *at.get(&hashes);
        let mut damaged = chunks.remove(&hash).unwrap();
        let column = |refs: bool, chunk: &mut NewChunk| match refs {
            true => chunk.refs.take(),
            false => chunk.content.take(),
        };
        match self {
            Self::Remove => return,
            Self::Byte(refs, at, byte) => {
                let bytes = if *refs {
                    &mut damaged.refs
                } else {
                    &mut damaged.content
                };
                if let Some(bytes) = bytes
                    && !bytes.is_empty()
                {
                    let at = at.index(bytes.len());
                    bytes[at] = *byte;
                }
            }
            Self::Truncate(refs, at) => {
                let bytes = if *refs {
                    &mut damaged.refs
                } else {
                    &mut damaged.content
                };
                if let Some(bytes) = bytes {
                    bytes.truncate(at.index(bytes.len() + 1));
                }
            }
            Self::TakeOther(refs, from) => {
                let from = *from.get(&hashes);
                if let Some(other) = chunks.get_mut(&from) {
                    let bytes = column(*refs, other);
                    *(if *refs {
                        &mut damaged.refs
                    } else {
                        &mut damaged.content
                    }) = bytes;
                }
            }
            Self::Content(value) => damaged.content = Some(value.to_string().into_bytes()),
            Self::Refs(refs) => {
                damaged.content = None;
                damaged.refs = Some(refs.clone());
            }
            Self::Swap(with) => {
                let with = *with.get(&hashes);
                if let Some(other) = chunks.get_mut(&with) {
                    std::mem::swap(other, &mut damaged);
                }
            }
        }
        chunks.insert(hash, damaged);
    }
}

/// A number of cases, unless `PROPTEST_CASES` says another.
fn cases(usual: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(usual),
    }
}

/// Of the bytes that may be read, each gives less than one value: a bound on what is made of them.
const BOUND: usize = 100_000;

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        "[\\[\\]{}\",:0-9eE.+\\\\u0001nst \u{1}-]{0,64}".prop_map(String::into_bytes),
        (any_value(), any::<Index>(), any::<u8>()).prop_map(|(value, at, byte)| {
            let mut text = value.to_string().into_bytes();
            let at = at.index(text.len());
            text[at] = byte;
            text
        }),
    ]) {
        let thread = thread();
        let _ = codec::decode(&bytes);
        let id = CheckpointId::new("id").unwrap();
        for error in [
            decode::checkpoint(&thread, id, &bytes, Loaded::All).err(),
            decode::metadata(&thread, &bytes).err(),
            Decoder::of_one().channels(&thread, &bytes).err(),
            Decoder::of_one().value(&thread, &bytes, "a").err(),
        ].into_iter().flatten() {
            prop_assert!(is_corrupt(&error), "{:?}", error);
        }
    }

    #[test]
    fn rows_that_refer_to_each_other_in_any_way_are_read_or_refused(sent in tangle()) {
        match read(&sent, BOUND) {
            Ok(value) => prop_assert!(count(&value) <= BOUND),
            Err(error) => prop_assert!(is_corrupt(&error), "{:?}", error),
        }
    }

    #[test]
    fn rows_that_stand_for_any_number_of_others_are_read_or_refused(sent in tower()) {
        match read(&sent, BOUND) {
            Ok(value) => prop_assert!(count(&value) <= BOUND),
            Err(error) => prop_assert!(is_corrupt(&error), "{:?}", error),
        }
    }

    #[test]
    fn a_damaged_chunk_is_read_as_it_was_or_refused(
        count in prop_oneof![4 => Just(40_usize), 1 => Just(200)],
        damages in prop::collection::vec((any::<Index>(), damage()), 1..3),
    ) {
        let value = json!({ "messages": messages(0..count), "n": [1, 2, "x".repeat(3000)] });
        let mut sent = send(&value);
        for (at, damage) in &damages {
            if !sent.chunks.is_empty() {
                damage.apply(at, &mut sent.chunks);
            }
        }
        match read(&sent, usize::MAX) {
            Ok(read) => prop_assert!(same(&read, &value)),
            Err(error) => prop_assert!(is_corrupt(&error), "{:?}", error),
        }
    }
}

/// None of a checkpoint's own fields has a default, but for those that may be left out.
#[test]
fn a_checkpoint_with_a_field_missing_or_wrong_is_refused() {
    let fields = json!({
        "format": 1, "v": 4, "ts": "2026-01-01", "channel_versions": { "a": 1 },
        "versions_seen": { "node": { "a": 1 } }, "updated_channels": ["a"], "extra": { "b": 2 },
    });
    let read = |fields: &Value| {
        let id = CheckpointId::new("id").unwrap();
        let read = decode::checkpoint(&thread(), id, fields.to_string().as_bytes(), Loaded::All);
        read.map_err(|error| error.to_string())
    };
    assert!(read(&fields).is_ok());
    let mut refused = String::new();
    // Whatever order the feature `preserve_order` keeps them in.
    let names: BTreeSet<_> = fields.as_object().unwrap().keys().collect();
    for field in names {
        for wrong in [None, Some(json!([0]))] {
            let mut fields = fields.clone();
            match &wrong {
                None => fields.as_object_mut().unwrap().remove(field),
                Some(wrong) => fields
                    .as_object_mut()
                    .unwrap()
                    .insert(field.clone(), wrong.clone()),
            };
            if let Err(error) = read(&fields) {
                refused += error.split_once("`id`: ").unwrap().1;
                refused += "\n";
            } else {
                assert!(wrong.is_none() && ["extra", "updated_channels"].contains(&&**field));
            }
        }
    }
    let mut newer = fields;
    newer["not"] = json!(0);
    refused += &read(&newer).unwrap_err();
    expect![[r#"
        `channel_versions` isn't made of versions
        `channel_versions` isn't made of versions
        `extra` is no object
        its format is missing
        its format is missing
        `ts` is no text
        `ts` is no text
        `updated_channels` isn't made of names
        `v` is no integer
        `v` is no integer
        `versions_seen` is no object
        `versions_seen` is no object
        stored content of thread `thread` can't be read: checkpoint `id`: its field `not` is unknown"#]].assert_eq(&refused);
}
