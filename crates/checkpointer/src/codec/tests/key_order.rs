//! The order of an object's keys, which `serde_json` keeps under `preserve_order` only.

use expect_test::expect;
use serde_json::{Map, Value, json};

use super::through_jsonb;
use crate::codec::hash::hash_ordered;
use crate::codec::{decode, encode, encode_object, hash, order, parse};

fn encoded(value: &Value) -> String {
    let mut text = Vec::new();
    encode(value, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// Checks how a value with unsorted keys is stored, and that it is read back to the byte.
#[track_caller]
fn check(text: &str, stored: &str) {
    let value: Value = serde_json::from_str(text).unwrap();
    if order::is_kept() {
        assert_eq!(value.to_string(), text);
        assert_eq!(encoded(&value), stored);
    }
    let read = decode(&through_jsonb(encoded(&value).as_bytes())).unwrap();
    assert_eq!(read.to_string(), value.to_string());
    // Another program may have stored it, which keeps the order.
    let read = decode(&through_jsonb(stored.as_bytes())).unwrap();
    assert_eq!(read.to_string(), value.to_string());
}

#[test]
fn keys_that_are_not_sorted_come_back_in_their_order() {
    check(r#"{"b":1,"a":2}"#, r#"{"\u0001o":"1 0","b":1,"a":2}"#);
    check(
        r#"[{"query":"x","limit":{"z":1,"é":2,"y":3}}]"#,
        r#"[{"\u0001o":"1 0","query":"x","limit":{"\u0001o":"1 2 0","z":1,"é":2,"y":3}}]"#,
    );
    // By their bytes: JSONB takes the shorter first.
    check(
        r#"{"aa":1,"b":2,"B":{}}"#,
        r#"{"\u0001o":"1 2 0","aa":1,"b":2,"B":{}}"#,
    );
    check(
        r#"{"\u0001o":1,"":2,"\u0000":3}"#,
        r#"{"\u0001o":"2 0 1","\u0001s\u00011o":1,"":2,"\u0001s\u00010":3}"#,
    );
}

#[test]
fn an_object_of_sorted_keys_is_stored_without_its_order() {
    for text in [
        "{}",
        r#"{"a":{"a":1}}"#,
        r#"{"B":1,"a":2,"aa":3,"b":4,"é":5}"#,
    ] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(encoded(&value), text);
    }
}

#[test]
fn metadata_is_stored_with_sorted_keys() {
    let object = Map::from_iter([("b".to_owned(), json!(1)), ("a".to_owned(), json!(2))]);
    let mut text = Vec::new();
    encode_object(&object, &mut text).unwrap();
    assert_eq!(text, br#"{"a":2,"b":1}"#);
}

#[test]
fn an_object_that_was_stored_without_its_order_has_sorted_keys() {
    let read = decode(br#"{"b": 1, "z": {"y": 1, "x": 2}, "aa": 3}"#).unwrap();
    assert_eq!(read.to_string(), r#"{"aa":3,"b":1,"z":{"x":2,"y":1}}"#);
}

/// The hash is stored for ever, and the same in each program.
#[test]
fn the_order_of_keys_is_part_of_a_hash() {
    let (mut read, form) = parse(br#"{"a": 2, "b": 1, "\u0001o": "1 0"}"#).unwrap();
    let mut bytes = vec![1];
    bytes.extend(b"p\x02\0\0\0\0\0\0\0");
    bytes.extend(b"\x01\0\0\0\0\0\0\0bu\x01\0\0\0\0\0\0\0");
    bytes.extend(b"\x01\0\0\0\0\0\0\0au\x02\0\0\0\0\0\0\0");
    let blake = blake3::hash(&bytes);
    let expected = &blake.as_bytes()[..16];
    assert_eq!(hash_ordered(&read).as_bytes(), expected);
    let restored = form.restore_and_hash(&mut read).unwrap();
    assert_eq!(restored.as_bytes(), expected);
    expect!["fd2bc6dffee589c6b708ff99bdf51a40"].assert_eq(&restored.to_string());
    assert_ne!(restored, hash(&json!({ "a": 2, "b": 1 })));
    assert_eq!(restored == hash(&read), order::is_kept());
}
