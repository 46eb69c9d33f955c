//! Checkpoints in LangGraph's shape.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::Checkpoint;

fn sample() -> Value {
    json!({
        "v": 4,
        "id": "1f1e75c6-517b-67ac-bfff-82aec47be48a",
        "ts": "2026-11-23T16:39:04.425664+00:00",
        "channel_values": { "a": [1, { "b": null }], "n": 1.0 },
        "channel_versions": { "a": "0001.5", "n": 7, "old": 1.5 },
        "versions_seen": { "__input__": {}, "node": { "a": "0001.5" } },
        "updated_channels": ["a"],
        "pending_sends": [],
    })
}

#[track_caller]
fn comes_back(value: Value) {
    let checkpoint = Checkpoint::from_json(value.clone()).unwrap();
    assert_eq!(checkpoint.to_json(), value);
}

#[track_caller]
fn is_refused(field: &str, value: Option<Value>, error: Expect) {
    let mut checkpoint = sample();
    let fields = checkpoint.as_object_mut().unwrap();
    match value {
        Some(value) => fields.insert(field.to_owned(), value),
        None => fields.remove(field),
    };
    let refusal = Checkpoint::from_json(checkpoint).unwrap_err();
    error.assert_eq(&refusal.to_string());
}

#[test]
fn every_field_comes_back() {
    comes_back(sample());
}

#[test]
fn updated_channels_of_any_shape_come_back() {
    for updated in [json!(null), json!([]), json!(["a", 1]), json!({ "a": 1 })] {
        let mut value = sample();
        value["updated_channels"] = updated;
        comes_back(value);
    }
    let mut value = sample();
    value.as_object_mut().unwrap().remove("updated_channels");
    comes_back(value);
}

#[test]
fn a_field_that_is_no_checkpoint_s_is_kept_apart() {
    let checkpoint = Checkpoint::from_json(sample()).unwrap();
    assert_eq!(
        checkpoint.extra,
        *json!({ "pending_sends": [] }).as_object().unwrap()
    );
    assert_eq!(checkpoint.updated_channels, Some(vec!["a".to_owned()]));
}

#[test]
fn a_malformed_checkpoint_is_refused_by_the_name_of_the_field() {
    is_refused(
        "v",
        None,
        expect!["the checkpoint's `v` must be an integer"],
    );
    is_refused(
        "v",
        Some(json!("4")),
        expect!["the checkpoint's `v` must be an integer"],
    );
    is_refused(
        "id",
        Some(json!(4)),
        expect!["the checkpoint's `id` must be a string"],
    );
    is_refused("id", Some(json!("")), expect!["the checkpoint_id is empty"]);
    is_refused(
        "ts",
        Some(json!(null)),
        expect!["the checkpoint's `ts` must be a string"],
    );
    is_refused(
        "channel_values",
        Some(json!([])),
        expect!["the checkpoint's `channel_values` must be an object"],
    );
    is_refused(
        "channel_versions",
        Some(json!({ "a": null })),
        expect![
            "the checkpoint's `channel_versions.a` must be a string, a float or an integer of 64 bits"
        ],
    );
    is_refused(
        "channel_versions",
        Some(json!({ "a": u64::MAX })),
        expect![
            "the checkpoint's `channel_versions.a` must be a string, a float or an integer of 64 bits"
        ],
    );
    is_refused(
        "versions_seen",
        Some(json!({ "node": 1 })),
        expect!["the checkpoint's `versions_seen.node` must be an object"],
    );
    let refusal = Checkpoint::from_json(json!(1)).unwrap_err();
    expect!["a checkpoint must be an object"].assert_eq(&refusal.to_string());
}
