//! Lines of exported threads, as they are written and read.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod beside;

use expect_test::expect;
use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::parse::Line;
use super::same::Change;
use crate::{
    Checkpoint, CheckpointAddress, CheckpointId, Checkpointer, Import, List, MemoryCheckpointer,
    Metadata, Put, PutWrites, TaskId, ThreadId, export,
};

/// A thread whose lines are always the same, but for its times.
async fn thread() -> MemoryCheckpointer {
    let memory = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("support-4711").unwrap();
    let mut last: Option<CheckpointAddress> = None;
    for (id, messages) in [("1", json!(["Hello"])), ("2", json!(["Hello", "\0"]))] {
        let mut checkpoint = Checkpoint::new(CheckpointId::new(id).unwrap());
        checkpoint.ts = "2026-11-29T08:00:00Z".to_owned();
        let values = [("messages", messages), ("zero", json!(-0.0))];
        let values = values.map(|(channel, value)| (channel.to_owned(), value));
        checkpoint.channel_values.extend(values);
        let version = ("messages".to_owned(), 3.into());
        checkpoint.channel_versions.extend([version.clone()]);
        let seen = [("__input__".to_owned(), [version].into())];
        checkpoint.versions_seen.extend(seen);
        checkpoint.updated_channels = Some(vec!["messages".to_owned()]);
        let metadata = Metadata::default().with("step", 1);
        let mut put = Put::new(&thread_id, &checkpoint, &metadata);
        put.parent = last.as_ref().map(|last| &last.checkpoint_id);
        let address = memory.put(put).await.unwrap();
        let task_id = TaskId::new("task").unwrap();
        let writes = [("a".to_owned(), json!([1]))];
        let writes = PutWrites::new(&address, &task_id, &writes).task_path("p");
        memory.put_writes(writes).await.unwrap();
        last = Some(address);
    }
    memory.set_pinned(&last.unwrap(), true).await.unwrap();
    memory
}

async fn lines(memory: &MemoryCheckpointer) -> Vec<String> {
    let lines = export(memory, "support-4711").unwrap();
    lines.try_collect().await.unwrap()
}

#[tokio::test]
async fn lines_are_as_the_page_describes_them() {
    let mut lines = lines(&thread().await).await;
    for field in [r#""created_at":""#, r#""updated_at":""#] {
        let (before, time) = lines[0].split_once(field).unwrap();
        let (time, after) = time.split_once('"').unwrap();
        humantime::parse_rfc3339(time).unwrap();
        lines[0] = format!("{before}{field}…\"{after}");
    }
    let text = format!("{}\n", lines.join("\n"));
    expect![[r#"
        {"thread":{"format":2,"thread_id":"support-4711","metadata":{},"created_at":"…","updated_at":"…","heads":{"":"2"}}}
        {"checkpoint":{"checkpoint_ns":"","checkpoint_id":"1","v":4,"ts":"2026-11-29T08:00:00Z","channel_versions":{"messages":3},"versions_seen":{"__input__":{"messages":3}},"updated_channels":["messages"],"metadata":{"step":1},"values":{"messages":["Hello"],"zero":"\u0001n-0.0"},"appended":{},"same":[],"writes":[{"task_id":"task","task_path":"p","channel":"a","value":[1]}]}}
        {"checkpoint":{"checkpoint_ns":"","checkpoint_id":"2","parent_checkpoint_id":"1","v":4,"ts":"2026-11-29T08:00:00Z","channel_versions":{"messages":3},"versions_seen":{"__input__":{"messages":3}},"updated_channels":["messages"],"metadata":{"step":1},"pinned":true,"values":{},"appended":{"messages":["\u0001s\u00010"]},"same":["zero"],"writes":[{"task_id":"task","task_path":"p","channel":"a","value":[1]}]}}
        {"end":{"checkpoints":2,"writes":2}}
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn a_line_that_was_changed_is_refused_and_the_reason_is_told() {
    let lines = lines(&thread().await).await;
    let mut problems = String::new();
    for (at, from, to) in [
        (0, r#""format":2"#, r#""format":3"#),
        (2, r#""pinned":true"#, r#""pinned":1"#),
        (0, "support-4711", ""),
        (0, r#""heads":{"":"2"}"#, r#""heads":{"":2}"#),
        (1, r#""v":4"#, r#""v":"4""#),
        (1, r#""v":4"#, r#""v":4,"w":1"#),
        (1, r#""v":4,"#, ""),
        (1, r#"{"messages":3}"#, r#"{"messages":null}"#),
        (1, r#""task_path":"p","#, ""),
        (
            1,
            r#"{"task_id":"task","task_path":"p","channel":"a","value":[1]}"#,
            r#"{"task_id":"task","task_path":"p","channel":"a","value":1},{"task_id":"task","task_path":"q","channel":"a","value":2}"#,
        ),
        (
            1,
            r#"{"task_id":"task","task_path":"p","channel":"a","value":[1]}"#,
            r#"{"task_id":"task","task_path":"p","channel":"__error__","value":1},{"task_id":"task","task_path":"q","channel":"__error__","value":2}"#,
        ),
        (1, "checkpoint\":{", "checkpoints\":{"),
        (2, r#""same":["zero"]"#, r#""same":["one"]"#),
        (2, r#""appended":{"messages""#, r#""appended":{"zero""#),
        (3, r#""writes":2"#, r#""writes":-2"#),
        (3, r#"{"end""#, r#"{"end"#),
    ] {
        let changed = lines[at].replace(from, to);
        assert_ne!(changed, lines[at], "{from}");
        let mut import = Import::new(Box::leak(Box::new(MemoryCheckpointer::new())));
        for line in &lines[..at] {
            import.line(line).await.unwrap();
        }
        let error = import.line(&changed).await.unwrap_err();
        problems.push_str(&format!("{error}\n"));
    }
    expect![[r#"
        line 1 of the export has format 3; this program reads up to 2
        line 3 of the export has something else where true or false must be
        line 1 of the export has a name that can't be one: the thread_id is empty
        line 1 of the export has a head that is no text
        line 2 of the export has a `v` that is no integer
        line 2 of the export has a field that this program doesn't know
        line 2 of the export has no `v`
        line 2 of the export has no version of channel `messages`
        line 2 of the export has no `task_path`
        line 2 of the export has writes of task `task` that can't be stored together
        line 2 of the export has writes of task `task` that can't be stored together
        line 2 of the export is of no known kind
        line 3 of the export needs a value of channel `one`, which the line before doesn't have
        line 3 of the export needs a value of channel `zero`, which the line before doesn't have
        line 4 of the export has a `writes` that is no count
        line 4 of the export is no JSON of an export: failed to parse stored JSON: expected `:` at line 1 column 9
    "#]].assert_eq(&problems);
}

/// An export as programs wrote it before there were pins.
const FORMAT_1: &str = r#"
{"thread":{"format":1,"thread_id":"support-4711","metadata":{"customer":"ann"},"created_at":"2026-11-29T08:00:00.000000Z","updated_at":"2026-11-29T08:01:00.000000Z","heads":{"":"2"}}}
{"checkpoint":{"checkpoint_ns":"","checkpoint_id":"1","v":4,"ts":"2026-11-29T08:00:00Z","channel_versions":{"messages":1},"versions_seen":{},"metadata":{"step":0},"values":{"messages":["Hello"]},"appended":{},"same":[],"writes":[]}}
{"checkpoint":{"checkpoint_ns":"","checkpoint_id":"2","parent_checkpoint_id":"1","v":4,"ts":"2026-11-29T08:01:00Z","channel_versions":{"messages":2},"versions_seen":{},"metadata":{"step":1},"values":{},"appended":{"messages":["Where is my order?"]},"same":[],"writes":[]}}
{"end":{"checkpoints":2,"writes":0}}
"#;

#[tokio::test]
async fn an_export_of_format_1_is_read_and_has_no_pins() {
    let memory = MemoryCheckpointer::new();
    let mut import = Import::new(&memory);
    for line in FORMAT_1.lines() {
        import.line(line).await.unwrap();
    }
    import.finish().await.unwrap();
    let list = memory.list(List::thread("support-4711").unwrap());
    let tuples: Vec<_> = list.try_collect().await.unwrap();
    assert!(tuples.iter().all(|tuple| !tuple.pinned));
    let messages = &tuples[0].checkpoint.channel_values["messages"];
    assert_eq!(messages, &json!(["Hello", "Where is my order?"]));
}

#[test]
fn only_what_is_the_same_to_the_bits_is_left_out() {
    let before = json!([0.0, { "a": 1 }]);
    for (value, is_told) in [
        (json!([0.0, { "a": 1 }]), false),
        (json!([-0.0, { "a": 1 }]), true),
        (json!([0, { "a": 1 }]), true),
        (json!([0.0, { "a": 1.0 }]), true),
        (json!([0.0, { "b": 1 }]), true),
        (json!([0.0]), true),
    ] {
        let change = Change::of(Some(&before), &value);
        assert_eq!(change == Change::Other(&value), is_told, "{value}");
    }
    let longer = json!([0.0, { "a": 1 }, null]);
    let appended = Change::Appended(&[Value::Null]);
    assert_eq!(Change::of(Some(&before), &longer), appended);
    assert_eq!(
        Change::of(Some(&json!([])), &longer),
        Change::Other(&longer)
    );
    assert_eq!(Change::of(None, &longer), Change::Other(&longer));
}

#[test]
fn a_line_is_read_without_knowing_the_one_before_where_it_needs_none() {
    let end = Line::parse(
        r#"{"end":{"checkpoints":1,"writes":0}}"#,
        &Default::default(),
    );
    assert!(matches!(end, Ok(Line::End(_))), "{end:?}");
}
