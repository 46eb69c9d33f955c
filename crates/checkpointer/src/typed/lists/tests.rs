#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::{BTreeMap, HashSet};

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::stream::Stream;

fn hash(value: &impl Serialize) -> Option<[u8; 32]> {
    let mut stream = Stream::default();
    value.serialize(&mut stream).ok()?;
    Some(stream.hash())
}

#[derive(Serialize)]
struct Unit;

#[derive(Serialize)]
struct Named {
    a: u8,
}

#[derive(Serialize)]
struct Flat {
    #[serde(flatten)]
    named: Named,
}

#[derive(Serialize)]
struct Two(u8, u8);

#[derive(Serialize)]
enum Variant {
    Unit,
    Newtype(u8),
    Tuple(u8, u8),
    Struct { a: u8 },
}

struct Bytes(&'static [u8]);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

#[test]
fn what_becomes_another_json_or_has_another_kind_has_another_hash() {
    let hashes = [
        hash(&1_u8),
        hash(&1_i8),
        hash(&1_i128),
        hash(&1_u128),
        hash(&1_f32),
        hash(&1_f64),
        hash(&-0_f64),
        hash(&0_f64),
        hash(&true),
        hash(&'a'),
        hash(&"a"),
        hash(&Bytes(b"a")),
        hash(&()),
        hash(&None::<u8>),
        hash(&Some(())),
        hash(&Some(Some(()))),
        hash(&Some("a")),
        hash(&["ab", "c"]),
        hash(&["a", "bc"]),
        hash(&vec!["ab", "c"]),
        hash(&vec![vec![1], vec![2]]),
        hash(&vec![vec![1, 2]]),
        hash(&vec![vec![], vec![1, 2]]),
        hash(&vec![vec![1, 2], vec![]]),
        hash(&Named { a: 1 }),
        hash(&Flat {
            named: Named { a: 1 },
        }),
        hash(&BTreeMap::from([("a", 1_u8)])),
        hash(&json!({ "a": 1 })),
        hash(&BTreeMap::from([("a", ())])),
        hash(&BTreeMap::from([(1, ())])),
        hash(&Variant::Unit),
        hash(&Variant::Newtype(1)),
        hash(&Variant::Tuple(1, 1)),
        hash(&Variant::Struct { a: 1 }),
        hash(&Vec::<u8>::new()),
        hash(&json!({})),
    ];
    let different: HashSet<[u8; 32]> = hashes.into_iter().map(Option::unwrap).collect();
    assert_eq!(different.len(), hashes.len());
}

#[test]
fn the_same_json_of_the_same_kinds_has_the_same_hash() {
    assert_eq!(hash(&1_u8), hash(&1_u64));
    assert_eq!(hash(&Unit), hash(&()));
    assert_eq!(hash(&Two(1, 2)), hash(&(1_u8, 2_u8)));
    assert_eq!(hash(&"text"), hash(&"text".to_owned()));
}

#[test]
fn a_long_text_has_one_hash_however_it_is_taken() {
    let text = "x".repeat(100_000);
    let mut one = Stream::default();
    let mut other = Stream::default();
    for (length, stream) in [(1, &mut one), (7_777, &mut other)] {
        for value in [&text[..length], &text, &text[length..]] {
            value.serialize(&mut *stream).unwrap();
        }
    }
    assert_ne!(one.hash(), other.hash());
    let mut again = Stream::default();
    for value in [&text[..1], &text, &text[1..]] {
        value.serialize(&mut again).unwrap();
        again.hash();
    }
    assert_eq!(one.hash(), again.hash());
    assert_eq!(one.len(), again.len());
}

#[test]
fn what_is_too_deep_has_none() {
    let deep = (0..1000).fold(Value::Null, |inner, _| json!([inner]));
    assert_eq!(hash(&deep), None);
    // It would exhaust the stack where it is dropped.
    std::mem::forget(deep);
}
