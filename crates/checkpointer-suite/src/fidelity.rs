//! What goes in comes out equal, or is refused before anything is stored.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::step::{Step, find, fresh_thread, get, ids, map, ns, try_write, write};
use checkpointer::{
    ChannelValues, CheckpointAddress, CheckpointId, Checkpointer, Error, GetTuple, NameProblem,
    TaskId, ThreadId,
};

/// Names that are data, whatever they look like elsewhere.
const ODD_NAMES: [&str; 12] = [
    "a",
    " ",
    "'",
    "\"",
    "\\",
    "\\x41\\000",
    "%_",
    "$1; --",
    "{\"a\": 1}",
    "\u{1}\n\t\u{7f}",
    "é\u{301}\u{202e}",
    "\u{1F600}\u{FFFF}\u{10FFFF}",
];

/// Values that are easily changed on the way.
pub(crate) fn odd_values() -> Vec<Value> {
    let text =
        "NUL \0, escapes \u{1}s\u{1}n0\u{1}, \\u0000 \" \\ \n\t\u{7f}\u{2028}\u{FFFE}\u{1F600}";
    vec![
        json!(null),
        json!(""),
        json!(text),
        json!({ text: text, "": 0, "\0": 1, "\u{1}": 2 }),
        json!({ "$serde_json::private::Number": "1" }),
        json!({ "$serde_json::private::RawValue": "1" }),
        json!([
            0,
            -1,
            i64::MIN,
            i64::MAX,
            u64::MAX,
            9_007_199_254_740_993_i64
        ]),
        json!([
            0.0, -0.0, 1.0, 0.1, 1e-7, 1e15, 1e16, 1e17, 1.5e300, 1e21, 1e22, 5e-324
        ]),
        json!([
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            f64::EPSILON,
            f64::from_bits(0x000F_FFFF_FFFF_FFFF)
        ]),
        json!([
            9_007_199_254_740_992.0,
            18_446_744_073_709_551_616.0,
            1.2345678901234567e19
        ]),
        json!({ "b": 1, "aa": 2, "a": 3, "B": [[], {}, [[]]] }),
        json!("x".repeat(70_000)),
        Value::from_iter(0..3000),
        deep(90),
    ]
}

/// Lists in lists.
fn deep(levels: usize) -> Value {
    (0..levels).fold(json!(0), |inner, _| json!([inner]))
}

/// Equal as JSON, and to the bits of every float.
#[track_caller]
pub(crate) fn assert_same(got: &Value, put: &Value) {
    assert_eq!(got, put);
    // `==` hides the sign of a zero, the text shows it.
    let [got, put] = [got, put].map(|value| {
        let mut numbers = Vec::new();
        collect_numbers(value, &mut numbers);
        numbers
    });
    assert_eq!(got, put);
}

/// Collects the text of every number, whatever order objects keep their keys in.
fn collect_numbers(value: &Value, numbers: &mut Vec<String>) {
    match value {
        Value::Number(number) => numbers.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| collect_numbers(item, numbers)),
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            for value in fields.into_values() {
                collect_numbers(value, numbers);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Values of channels come back equal.
pub async fn values(checkpointer: &dyn Checkpointer) {
    for value in odd_values() {
        let step = Step::first(&fresh_thread()).values(json!({ "a": value }));
        let tuple = get(checkpointer, &step.put(checkpointer).await).await;
        assert_same(&tuple.checkpoint.channel_values["a"], &value);
    }
}

/// Values of writes come back equal.
pub async fn writes(checkpointer: &dyn Checkpointer) {
    let address = Step::first(&fresh_thread()).put(checkpointer).await;
    let values = odd_values();
    let writes: Vec<_> = values.iter().map(|value| json!(["a", value])).collect();
    write(checkpointer, &address, "task", writes.into()).await;
    let tuple = get(checkpointer, &address).await;
    for (write, value) in tuple.pending_writes.iter().zip(&values) {
        assert_same(&write.value, value);
    }
    assert_eq!(tuple.pending_writes.len(), values.len());
}

/// An object with keys that aren't sorted, if this program keeps their order.
fn unsorted(keys: usize) -> Value {
    let member = |n: usize| {
        let arguments =
            r#"{"query": "orders", "limit": 5, "filter": {"until": null, "from": [1]}}"#;
        let arguments: Value = serde_json::from_str(arguments).unwrap();
        (format!("{}", n * 7919 % 10_000), arguments)
    };
    (0..keys).rev().map(member).collect()
}

/// The order of an object's keys comes back in values and writes, small and large, where
/// `serde_json` keeps one (`preserve_order`).
pub async fn order_of_keys(checkpointer: &dyn Checkpointer) {
    let sizes = [2, 20, 200, 1000].map(unsorted);
    let values = json!({ "sizes": sizes, "inside": { "z": [sizes[2]], "a": sizes[0] } });
    let step = Step::first(&fresh_thread()).values(values);
    let put = &step.checkpoint.channel_values;
    let first = step.put(checkpointer).await;
    let writes = put.iter().map(|(channel, value)| json!([channel, value]));
    write(checkpointer, &first, "task", writes.collect()).await;
    let next = Step::after(&first).values(json!({ "sizes": sizes, "more": unsorted(3) }));
    let second = next.put(checkpointer).await;

    let text = |value: &Value| value.to_string();
    let texts = |values: &ChannelValues| values.values().map(text).collect::<Vec<_>>();
    let got = get(checkpointer, &first).await;
    assert_eq!(texts(&got.checkpoint.channel_values), texts(put));
    let got_writes = got.pending_writes.iter().map(|write| text(&write.value));
    assert_eq!(got_writes.collect::<Vec<_>>(), texts(put));
    let got = get(checkpointer, &second).await.checkpoint.channel_values;
    assert_eq!(text(&got["sizes"]), text(&put["sizes"]));
    assert_eq!(text(&got["more"]), text(&unsorted(3)));
}

/// Metadata comes back equal.
pub async fn metadata(checkpointer: &dyn Checkpointer) {
    for value in odd_values() {
        let step = Step::first(&fresh_thread()).metadata("mine", value.clone());
        let tuple = get(checkpointer, &step.put(checkpointer).await).await;
        assert_same(&tuple.metadata.as_map()["mine"], &value);
    }
}

/// A checkpoint's other fields come back equal.
pub async fn other_fields(checkpointer: &dyn Checkpointer) {
    for value in odd_values() {
        let mut step = Step::first(&fresh_thread());
        step.checkpoint.ts = "\0 \u{1} \u{1F600}".to_owned();
        step.checkpoint.extra = map(json!({ "mine": value }));
        let tuple = get(checkpointer, &step.put(checkpointer).await).await;
        assert_eq!(tuple.checkpoint.ts, step.checkpoint.ts);
        assert_same(&tuple.checkpoint.extra["mine"], &value);
    }
}

/// A thread's metadata comes back equal.
pub async fn thread_metadata(checkpointer: &dyn Checkpointer) {
    use futures_util::TryStreamExt;

    let address = Step::first(&fresh_thread()).put(checkpointer).await;
    let word = super::step::fresh_word();
    for value in odd_values() {
        let metadata = map(json!({ "word": word, "mine": value }));
        let set = checkpointer.set_thread_metadata(&address.thread_id, metadata);
        set.await.unwrap();
        let query = checkpointer::ListThreads::all().filter(map(json!({ "word": word })));
        let found: Vec<_> = checkpointer.threads(query).try_collect().await.unwrap();
        assert_same(&found[0].metadata["mine"], &value);
    }
}

/// Channels may have any name.
pub async fn channel_names(checkpointer: &dyn Checkpointer) {
    let longest = "c".repeat(4096);
    let names = ODD_NAMES.into_iter().chain(["", longest.as_str()]);
    let values: Value = names.map(|name| (name.to_owned(), json!(name))).collect();
    let step = Step::first(&fresh_thread()).values(values);
    let address = step.put(checkpointer).await;
    let names = step.checkpoint.channel_values.keys();
    let writes: Vec<_> = names.map(|name| json!([name, name])).collect();
    write(checkpointer, &address, "task", writes.into()).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.checkpoint, step.checkpoint);
    for write in &tuple.pending_writes {
        assert_eq!(*write.value, json!(write.channel));
    }
    assert_eq!(tuple.pending_writes.len(), ODD_NAMES.len() + 2);
}

/// Threads may have any name.
pub async fn thread_ids(checkpointer: &dyn Checkpointer) {
    let word = super::step::fresh_word();
    for name in ODD_NAMES {
        let thread_id = ThreadId::new(format!("{word}{name}")).unwrap();
        let address = Step::first(&thread_id).put(checkpointer).await;
        assert_eq!(ids(checkpointer, &thread_id).await, [address.checkpoint_id]);
    }
}

/// Namespaces, checkpoints and tasks may have any name.
pub async fn other_names(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    for name in ODD_NAMES {
        let step = Step::first(&thread_id).in_ns(name).id(name);
        let address = step.put(checkpointer).await;
        let written = try_write(checkpointer, &address, name, name, json!([["a", 1]])).await;
        written.unwrap();
        let tuple = get(checkpointer, &address).await;
        assert_eq!(tuple.address.checkpoint_ns, ns(name));
        assert_eq!(tuple.pending_writes[0].task_id.as_str(), name);
    }
    assert_eq!(ids(checkpointer, &thread_id).await.len(), ODD_NAMES.len());
}

/// Text of `bytes` bytes that no compression makes short.
fn noise(bytes: usize) -> String {
    let mut text = String::new();
    while text.len() < bytes {
        text.push_str(&uuid::Uuid::new_v4().simple().to_string());
    }
    text.truncate(bytes);
    text
}

/// How many bytes a namespace and the ids of a checkpoint and of a task may have together.
const MAX_KEY_BYTES: usize = 2120;

/// Names may be as long as a key can be, however its bytes are shared out.
pub async fn longest_names(checkpointer: &dyn Checkpointer) {
    for (id, task) in [(36, 36), (CheckpointId::MAX_BYTES, TaskId::MAX_BYTES)] {
        let thread_id = ThreadId::new(noise(ThreadId::MAX_BYTES)).unwrap();
        let step = Step::first(&thread_id)
            .in_ns(&noise(MAX_KEY_BYTES - id - task))
            .id(&noise(id));
        let address = step.put(checkpointer).await;
        let task = noise(task);
        write(checkpointer, &address, &task, json!([["a", 1]])).await;
        let tuple = get(checkpointer, &address).await;
        assert_eq!(tuple.address, address);
        assert_eq!(tuple.pending_writes[0].task_id.as_str(), task);
    }
}

/// A namespace that leaves no room in a key for the ids of a checkpoint and a task is refused.
pub async fn too_long_names_together_are_refused(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let step = |ns: usize| {
        let step = Step::first(&thread_id).id(&noise(100));
        step.in_ns(&noise(ns))
    };
    let address = step(MAX_KEY_BYTES - 100 - 99).put(checkpointer).await;
    let written = try_write(checkpointer, &address, &noise(100), "", json!([["a", 1]])).await;
    let put = step(MAX_KEY_BYTES - 99).try_put(checkpointer).await;
    for (refusal, ids) in [(put.map(drop), 100), (written, 200)] {
        let expected = NameProblem::TooLong {
            bytes: MAX_KEY_BYTES - ids + 1,
            max: MAX_KEY_BYTES - ids,
        };
        match refusal {
            Err(Error::InvalidName { kind, problem, .. }) => {
                assert_eq!((kind, problem), ("checkpoint_ns", expected));
            }
            other => panic!("not refused: {other:?}"),
        }
    }
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 1);
}

/// A channel's name that is too long or holds NUL is refused, and nothing is stored.
pub async fn bad_channel_names_are_refused(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let address = CheckpointAddress::new(thread_id.clone(), super::step::id("a")).unwrap();
    let too_long = NameProblem::TooLong {
        bytes: 4097,
        max: 4096,
    };
    for (name, expected) in [
        ("c".repeat(4097), too_long),
        ("a\0b".to_owned(), NameProblem::Nul),
    ] {
        let put = Step::first(&thread_id).values(json!({ name.as_str(): 1 }));
        let put = put.try_put(checkpointer).await.map(drop);
        let written = json!([["fine", 1], [name, 1]]);
        let written = try_write(checkpointer, &address, "task", "", written).await;
        for refusal in [put, written] {
            match refusal {
                Err(Error::InvalidName { kind, problem, .. }) => {
                    assert_eq!((kind, problem), ("channel", expected.clone()));
                }
                other => panic!("not refused: {other:?}"),
            }
        }
    }
    assert_eq!(ids(checkpointer, &thread_id).await, []);
}

#[track_caller]
fn assert_unstorable<T: std::fmt::Debug>(result: Result<T, Error>, of: &ThreadId) {
    match result {
        Err(Error::Unstorable { thread_id, .. }) => assert_eq!(thread_id, *of),
        other => panic!("not refused: {other:?}"),
    }
}

/// A value nested too deep is refused wherever it is, and nothing is stored.
pub async fn too_deep_is_refused(checkpointer: &dyn Checkpointer) {
    for levels in [200, 1000] {
        let thread_id = fresh_thread();
        let first = || Step::first(&thread_id);
        let value = deep(levels);
        let mut in_extra = first();
        in_extra.checkpoint.extra = [("mine".to_owned(), value.clone())].into_iter().collect();
        let mut in_values = first();
        in_values
            .checkpoint
            .channel_values
            .insert("a".to_owned(), value.clone());
        let in_metadata = first().metadata("mine", value.clone());
        for step in [in_extra, in_values, in_metadata] {
            assert_unstorable(step.try_put(checkpointer).await, &thread_id);
        }
        let address = CheckpointAddress::new(thread_id.clone(), super::step::id("a")).unwrap();
        let writes = [("fine".to_owned(), json!(1)), ("a".to_owned(), value)];
        let task_id = TaskId::new("task").unwrap();
        let writes = checkpointer::PutWrites::new(&address, &task_id, &writes);
        assert_unstorable(checkpointer.put_writes(writes).await, &thread_id);
        assert_eq!(ids(checkpointer, &thread_id).await, []);
        let first = first().id("a").put(checkpointer).await;
        let tuple = find(checkpointer, GetTuple::at(&first)).await.unwrap();
        assert_eq!(tuple.pending_writes, []);
    }
}
