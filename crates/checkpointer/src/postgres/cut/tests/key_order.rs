//! The order of a large object's keys, which `serde_json` keeps under `preserve_order` only.

use std::collections::{BTreeMap, HashSet};

use expect_test::{Expect, expect};
use serde_json::{Map, Value, json};

use super::{Sent, message, send, try_send};
use crate::codec::{self, ORDER, order};
use crate::postgres::chunk::{Kind, Reference, members_hash};
use crate::postgres::encode::NewChunk;

/// A large object as a program stores it that keeps the order of its keys.
fn stored(keys: &Value, members: &[(&str, u8)]) -> Sent {
    let mut content = Map::from_iter([(ORDER.to_owned(), keys.clone())]);
    let mut hashes = vec![(None, codec::hash(keys))];
    for (key, value) in members {
        content.insert((*key).to_owned(), json!(value));
        hashes.push((Some(*key), codec::hash(&json!(value))));
    }
    let hash = members_hash(hashes.iter().map(|(key, hash)| (*key, hash)));
    let reference = Reference {
        kind: Kind::Object,
        nested: false,
        depth: 0,
        parts: vec![hash],
    };
    let mut stored = Vec::new();
    reference.write(&mut stored);
    let leaf = NewChunk {
        content: Some(json!([content]).to_string().into_bytes()),
        refs: None,
    };
    Sent {
        stored,
        chunks: BTreeMap::from([(hash, leaf)]),
        relied: HashSet::new(),
    }
}

#[test]
fn a_large_object_that_has_an_order_is_read_by_each_program() {
    let keys = json!(["zz", "b", "a"]);
    let read = stored(&keys, &[("a", 1), ("b", 2), ("zz", 3)]).read();
    let expected = match order::is_kept() {
        true => r#"{"zz":3,"b":2,"a":1}"#,
        false => r#"{"a":1,"b":2,"zz":3}"#,
    };
    assert_eq!(read.unwrap().to_string(), expected);
}

#[track_caller]
fn check_unreadable(keys: &Value, expected: &Expect) {
    let read = stored(keys, &[("a", 1), ("b", 2)]).read();
    expected.assert_eq(&read.unwrap_err().to_string());
}

#[test]
fn an_order_of_other_keys_is_refused() {
    let expected = expect![
        "stored content of thread `thread` can't be read: channel `a` has keys that can't have the stored order"
    ];
    for keys in [
        json!([]),
        json!(["b"]),
        json!(["b", "b"]),
        json!(["b", "a", "c"]),
        json!(["b", 1]),
        json!("1 0"),
    ] {
        check_unreadable(&keys, &expected);
    }
}

/// Files by their names, the newest last.
fn files(numbers: impl IntoIterator<Item = usize>) -> Value {
    let file = |n: usize| (format!("src/file_{}.rs", n * 7919 % 1000), message(n));
    Value::Object(numbers.into_iter().map(file).collect())
}

#[test]
fn a_further_key_of_a_large_object_costs_what_is_around_it_only() {
    let before = send(&files(0..1000));
    let grown = try_send(&files(0..1001), &before.hashes()).unwrap();
    let bytes = grown.bytes();
    assert!(bytes <= 25 * 1024, "{bytes} bytes");
    assert_eq!(send(&files(0..1001)).read().unwrap(), files(0..1001));
}

#[test]
fn another_order_of_the_same_members_costs_no_more_than_the_order() {
    let before = send(&files(0..1000));
    let turned = try_send(&files((0..1000).rev()), &before.hashes()).unwrap();
    let bytes = turned.bytes();
    assert!(bytes <= 40 * 1024, "{bytes} bytes");
}
