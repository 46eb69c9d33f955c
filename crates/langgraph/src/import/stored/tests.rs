//! What lies in a row.

use std::thread;

use serde_json::json;

use super::*;

fn metadata(metadata: &str) -> Value {
    let row = CheckpointRow {
        metadata: metadata.to_owned(),
        ..row("{}")
    };
    Value::Object(Stored::read(&row).unwrap().metadata.into_map())
}

fn row(checkpoint: &str) -> CheckpointRow {
    CheckpointRow {
        checkpoint_ns: String::new(),
        checkpoint_id: "1".to_owned(),
        parent_checkpoint_id: None,
        checkpoint: checkpoint.to_owned(),
        metadata: "{}".to_owned(),
    }
}

#[test]
fn values_in_the_row_stay_as_they_are() {
    let stored = Stored::read(&row(
        r#"{"channel_values": {"text": "\u20ac\"", "int": -5, "most": 18446744073709551615,
            "float": 1.0, "small": 0.1, "none": null, "true": true}}"#,
    ));
    let values = Value::from(stored.unwrap().checkpoint.channel_values);
    assert_eq!(
        values,
        json!({ "text": "€\"", "int": -5, "most": u64::MAX, "float": 1.0, "small": 0.1, "none": null,
            "true": true })
    );
}

/// Python reads JSON text as an integer of any size.
#[test]
fn larger_integers_are_kept_as_text() {
    let row = row(r#"{"channel_values": {"a": 18446744073709551616, "b": -9223372036854775809}}"#);
    let values = Stored::read(&row).unwrap().checkpoint.channel_values;
    assert_eq!(
        values["a"],
        json!({ "!": "json", "v": "18446744073709551616" })
    );
    assert_eq!(
        values["b"],
        json!({ "!": "json", "v": "-9223372036854775809" })
    );
}

#[test]
fn larger_integers_of_metadata_are_kept_as_text_wherever_they_are() {
    let plain = r#"{"!": "a", "step": -1, "source": "loop", "deep": [1.0, {"b": null, "a": "x"}]}"#;
    assert_eq!(
        metadata(plain),
        json!({ "!": "a", "step": -1, "source": "loop", "deep": [1.0, { "b": null, "a": "x" }] })
    );
    assert_eq!(
        metadata(r#"{"a": [{"b": 18446744073709551616}], "c": {"!": "json", "v": "1"}}"#),
        json!({
            "a": [{ "b": { "!": "json", "v": "18446744073709551616" } }],
            "c": { "!": "dict", "v": { "!": "json", "v": "1" } },
        })
    );
}

/// However deep it is, it takes no more of the stack than a thread of Tokio's has.
#[test]
fn metadata_that_is_nested_too_deep_is_kept_as_text() {
    let read = |opened: &str, closed: &str, levels: usize| {
        let text = format!("{}1{}", opened.repeat(levels), closed.repeat(levels));
        let deep = format!(r#"{{"a": {text}}}"#);
        let read = thread::Builder::new().stack_size(2 << 20);
        let read = read.spawn(move || metadata(&deep)).unwrap();
        (text, read.join().unwrap())
    };
    let (_, kept) = read("[", "]", 96);
    assert_eq!(kept["a"], nested(json!(1), 96));

    let (text, kept) = read("[", "]", 20_000);
    let rest = text[97..text.len() - 97].to_owned();
    let rest = json!({ "!": "json", "v": rest });
    assert_eq!(kept["a"], nested(rest, 97));

    // A checkpointer takes 100. Each object here has a tag, which takes one more.
    for levels in 96..100 {
        assert!(depth(&read(r#"{"!":"#, "}", levels).1) <= 100);
        assert!(depth(&read(r#"[{"!":"#, "}]", levels).1) <= 100);
    }
}

fn nested(value: Value, levels: usize) -> Value {
    (0..levels).fold(value, |value, _| json!([value]))
}

/// How many arrays and objects lie in each other.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

#[test]
fn what_the_saver_does_not_put_there_is_kept_as_text() {
    let values = Stored::read(&row(r#"{"channel_values": {"a": {"!": 1}}}"#));
    let values = values.unwrap().checkpoint.channel_values;
    assert_eq!(values["a"], json!({ "!": "json", "v": "{\"!\": 1}" }));
}

/// A blob is found by the version as text, as JSONB gives it.
#[test]
fn versions_are_the_texts_that_blobs_are_found_by() {
    let row = row(r#"{"channel_versions": {"a": 1, "b": 1.50, "c": "1.2", "d": "\"x\""}}"#);
    let versions = Stored::read(&row).unwrap().versions;
    let versions: Vec<_> = versions.values().map(String::as_str).collect();
    assert_eq!(versions, ["1", "1.50", "1.2", "\"x\""]);
}
