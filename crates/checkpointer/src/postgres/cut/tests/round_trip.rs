use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{message, messages, send, try_send};
use crate::codec::tests::{any_value, same};
use crate::postgres::cut::{Cut, MAX_PARTS};

#[track_caller]
fn check(value: &Value) {
    let sent = send(value);
    let read = sent.read().unwrap();
    assert!(same(&read, value), "{value} came back as {read}");
    let again = try_send(value, &sent.hashes()).unwrap();
    assert_eq!(again.chunks.len(), 0, "all of it is stored");
    assert_eq!(again.stored, sent.stored);
}

/// Values that are long enough to be cut, some of them at several levels.
fn large_value() -> impl Strategy<Value = Value> {
    let padded = (any_value(), 0..3000_usize).prop_map(|(value, bytes)| {
        let padding = "\u{0}\"x".repeat(bytes / 3);
        json!({ "value": value, "padding": padding })
    });
    padded.prop_recursive(3, 60, 15, |inner| {
        let key = prop_oneof![
            "[a-c\u{0}\u{1}\"]{0,4}",
            Just("$serde_json::private::x".to_owned())
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..15).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..15)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_value_comes_back(value in any_value()) {
        check(&value);
    }

    #[test]
    fn every_large_value_comes_back(value in large_value()) {
        check(&value);
    }
}

#[test]
fn values_at_the_edges_of_a_leaf_come_back() {
    for bytes in [0, 1, 200, 250, 256, 257, 2040, 2048, 2049, 16_384, 100_000] {
        let text = "x".repeat(bytes);
        check(&json!(text));
        check(&json!([text]));
        check(&json!([[], text, {}, [[text]], { "": text }]));
        check(&json!({ &text: 1, "": [], "a": { &text: {} } }));
    }
    check(&json!([]));
    check(&json!({}));
}

#[test]
fn equal_items_and_empty_ones_come_back() {
    for item in [
        json!(null),
        json!([]),
        json!({}),
        json!(0),
        json!(-0.0),
        message(1),
    ] {
        check(&Value::from(vec![item.clone(); 5_000]));
        let members = (0..1000).map(|n| (format!("{n}"), item.clone()));
        check(&members.collect());
    }
}

#[test]
fn a_list_of_one_object_is_no_object() {
    let object = json!({ "a": "x".repeat(3000), "b": "y".repeat(3000) });
    let list = json!([object]);
    check(&object);
    check(&list);
    check(&json!([list]));
    check(&json!([
        { "m": [["x".repeat(3000)]] },
        { "k": "a", "d": 0, "r": "" },
        "z".repeat(2000)
    ]));
}

#[test]
fn equal_parts_are_sent_once() {
    let files: Value = (0..30)
        .map(|n| (format!("file {n}"), json!("x".repeat(200))))
        .collect();
    let once = send(&json!([files]));
    let many = Value::from(vec![files; 1000]);
    let sent = send(&many);
    assert!(same(&sent.read().unwrap(), &many));
    assert!(sent.bytes() < 20 * once.bytes(), "{}", sent.bytes());
}

#[test]
fn a_reference_names_few_chunks_however_long_the_value_is() {
    for value in [messages(0..3000), Value::from(vec![json!("same"); 200_000])] {
        let cut = Cut::of_channel(&value, || None).unwrap();
        assert!(cut.reference().parts.len() <= MAX_PARTS);
    }
}
