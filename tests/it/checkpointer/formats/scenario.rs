//! What the fixture holds: each form in which the format stores something, with fixed ids and
//! times.

use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer, DeleteThread,
    GetTuple, Metadata, Prune, PruneStrategy, Put, PutWrites, Removed, Source, TaskId, Version,
};
use serde_json::{Value, json};

use crate::checkpointer::step::{large, map, thread};

/// A channel that is rebuilt from writes.
pub(super) const HISTORY_CHANNEL: &str = "log";

/// The threads and namespaces whose heads are asked for.
pub(super) const NAMESPACES: [(&str, &str); 6] = [
    ("main", ""),
    ("main", "sub:1|'inner'"),
    ("typed", ""),
    ("gone", ""),
    ("again", ""),
    ("it's \\ %s \"é\" 🦀", ""),
];

/// Plays the whole scenario.
pub(super) async fn play(checkpointer: &dyn Checkpointer) {
    main_thread(checkpointer).await;
    others(checkpointer).await;
}

/// Lets the fixture's main thread take a next step, most of whose values are stored already, and
/// forget the steps before.
pub(super) async fn go_on(checkpointer: &dyn Checkpointer) {
    let query = GetTuple::head(thread("main")).unwrap();
    let head = checkpointer.get_tuple(query).await.unwrap().unwrap();
    let mut values = Value::from(head.checkpoint.channel_values);
    values["tree"].as_array_mut().unwrap().push(json!("new"));
    let next = put(checkpointer, &head.address, "0009", values, 9).await;
    write(checkpointer, &next, "task", &[(HISTORY_CHANNEL, large(6))]).await;
    let prune = Prune::new(vec![thread("main")], PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
}

/// Small and large values, a fork and a subgraph.
async fn main_thread(checkpointer: &dyn Checkpointer) {
    let address = at("main", "0001");
    let first = put_first(checkpointer, &address, "", small()).await;
    let log = json!([{ "event": "started" }]);
    write(
        checkpointer,
        &first,
        "task-1",
        &[(HISTORY_CHANNEL, log), ("small", json!(1))],
    )
    .await;
    let second = put(checkpointer, &first, "0002", trees(0), 1).await;
    let special = [
        ("draft", json!("regular, the first of a mixed batch")),
        (
            "__interrupt__",
            json!([{ "value": "approve?", "id": "i-1" }]),
        ),
        (HISTORY_CHANNEL, json!([{ "event": "asked" }])),
        ("__resume__", json!({ "approved": true, "\0": -0.0 })),
    ];
    write(checkpointer, &second, "task-2", &special).await;
    let noted = [
        ("__error__", json!("it failed")),
        ("__scheduled__", json!(null)),
    ];
    write(checkpointer, &second, "task-3", &noted).await;
    let long = [("messages", large(5)), ("text", "long ".repeat(600).into())];
    write(checkpointer, &second, "task-4", &long).await;

    // Both branches use the same versions for other values.
    let branch = json!({ "messages": large(1), "small": "a branch" });
    put(checkpointer, &second, "0003", branch, 2).await;
    let fork = put(checkpointer, &second, "0004", trees(2), 2).await;
    write(
        checkpointer,
        &fork,
        "it's \\ a task",
        &[("early \u{1} write", json!([]))],
    )
    .await;

    let sub = at("main", "0005").in_ns(CheckpointNs::new("sub:1|'inner'").unwrap());
    let values = json!({ "messages": large(3), "answer": 42 });
    let sub = put_first(checkpointer, &sub, "0004", values).await;
    put(
        checkpointer,
        &sub,
        "0006",
        json!({ "messages": large(3) }),
        1,
    )
    .await;
    // Its checkpoint comes later, or never.
    let later = fork.sibling(CheckpointId::new("0008").unwrap());
    write(
        checkpointer,
        &later,
        "task-5",
        &[("early", json!("before its checkpoint"))],
    )
    .await;
    let metadata = json!({ "title": "it's \\ the \0 \u{1} main one", "zero": -0.0 });
    set_metadata(checkpointer, "main", metadata).await;
}

/// A value of one channel only, an empty state, deleted threads, and a name full of signs.
async fn others(checkpointer: &dyn Checkpointer) {
    let root = json!({ "__root__": ["no", "struct"] });
    put_first(checkpointer, &at("typed", "0001"), "", root).await;
    let signs = at("it's \\ %s \"é\" 🦀", "'0001' \\ \"é\" 🦀");
    put_first(checkpointer, &signs, "", json!({})).await;
    for name in ["gone", "again"] {
        let first = put_first(checkpointer, &at(name, "0001"), "", trees(0)).await;
        let delete = DeleteThread::new(&first.thread_id).unwrap();
        checkpointer.delete_thread(delete).await.unwrap();
    }
    let again = json!({ "text": "y".repeat(3_000) });
    put_first(checkpointer, &at("again", "0002"), "", again).await;
}

/// Values that lie in the checkpoint's own row, with all that JSONB would change.
fn small() -> Value {
    json!({
        (HISTORY_CHANNEL): [{ "event": "seeded" }],
        "null": null,
        "bools": [true, false],
        "integers": [0, -1, i64::MIN, i64::MAX, u64::MAX],
        "floats": [0.0, -0.0, 1.0, -1.5, 0.1, 1e15, 1e16, -1e16, 1e19, 18446744073709551616.0, 1e23,
            f64::MAX, f64::MIN, f64::MIN_POSITIVE, 5e-324, 2.225_073_858_507_201e-308],
        "strings": ["", "it's \\ %s \"é\" 🦀\r\n\t", "\0", "\u{1}", "\u{1}s", "\u{1}n-0.0", "a\0b\u{1}0"],
        "keys": { "": 1, "\0": 2, "\u{1}s": 3, "k": 4, "m": 5, "$serde_json::private::Other": 6 },
        "like references": [{ "k": "v", "d": 0, "r": "" }, { "m": [] }],
        "empty": [[], {}],
        "": "no name",
        "\u{1}": "escaped name",
    })
}

/// Values that are cut into chunks: each kind of tree, shallow and deep.
fn trees(seed: usize) -> Value {
    let text = |n: usize| format!("{n} \0 it's \\ {} ", n + seed).repeat(40);
    let wide = (0..90).map(|n| json!({ "n": n, "text": format!("message {n}, ").repeat(60) }));
    let mut wide: Vec<_> = wide.collect();
    wide.push(json!(seed));
    let object = |from: usize| (from..from + 30).map(|n| (format!("key \0 {n}"), json!(text(n))));
    json!({
        "messages": large(seed),
        "tree": wide,
        "text": "x\u{1}".repeat(1_500),
        "object": object(seed).collect::<Value>(),
        "nested": [1, large(7), { "deep": { "deeper": large(8), "zero": -0.0 } }, [], null],
        "members": { "a": large(7), "b": object(0).collect::<Value>(), "c": -0.0, "d": {} },
        "small": seed,
    })
}

fn at(name: &str, id: &str) -> CheckpointAddress {
    CheckpointAddress::new(thread(name), CheckpointId::new(id).unwrap()).unwrap()
}

/// Puts a checkpoint without a parent; in a subgraph, below a checkpoint of the root graph.
async fn put_first(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
    root: &str,
    values: Value,
) -> CheckpointAddress {
    let checkpoint = checkpoint(address.checkpoint_id.clone(), values);
    let metadata = match root {
        "" => metadata(-1),
        root => metadata(-1).with("parents", json!({ "": root })),
    };
    let put = Put::new(&address.thread_id, &checkpoint, &metadata).in_ns(&address.checkpoint_ns);
    let put = put.new_versions(&checkpoint.channel_versions);
    checkpointer.put(put).await.unwrap()
}

async fn put(
    checkpointer: &dyn Checkpointer,
    parent: &CheckpointAddress,
    id: &str,
    values: Value,
    step: i64,
) -> CheckpointAddress {
    let checkpoint = checkpoint(CheckpointId::new(id).unwrap(), values);
    let metadata = metadata(step);
    let put = Put::after(parent, &checkpoint, &metadata);
    let put = put.new_versions(&checkpoint.channel_versions);
    checkpointer.put(put).await.unwrap()
}

fn metadata(step: i64) -> Metadata {
    Metadata::new(Source::Loop, step)
        .with("run_id", format!("run-{step}"))
        .with(
            "nested",
            json!({ "found": [step, -0.0], "\0": "it's \\ \u{1}" }),
        )
}

fn checkpoint(id: CheckpointId, values: Value) -> Checkpoint {
    let mut checkpoint = Checkpoint::new(id);
    checkpoint.ts = "2026-01-02T03:04:05.678901+00:00".to_owned();
    checkpoint.channel_values = map(values).into_iter().collect();
    let versions = [
        Version::Int(2),
        Version::Float(2.5),
        Version::Float(-0.0),
        Version::Text("00000002.\u{1}it's".to_owned()),
    ];
    let channels = checkpoint.channel_values.keys().cloned();
    checkpoint.channel_versions = channels.zip(versions.into_iter().cycle()).collect();
    let seen = checkpoint.channel_versions.clone();
    checkpoint.versions_seen = [("__input__", Default::default()), ("node \0", seen)]
        .map(|(node, seen)| (node.to_owned(), seen))
        .into();
    checkpoint.updated_channels = Some(vec!["small".to_owned(), "\0".to_owned()]);
    checkpoint.extra = map(json!({ "kept \0": [-0.0, null] }));
    checkpoint
}

async fn write(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
    task: &str,
    writes: &[(&str, Value)],
) {
    let task_id = TaskId::new(task).unwrap();
    let named = writes
        .iter()
        .map(|(channel, value)| ((*channel).to_owned(), value.clone()));
    let writes: Vec<_> = named.collect();
    let writes = PutWrites::new(address, &task_id, &writes).task_path("~__pregel_pull, it's");
    checkpointer.put_writes(writes).await.unwrap();
}

async fn set_metadata(checkpointer: &dyn Checkpointer, name: &str, metadata: Value) {
    let metadata = map(metadata);
    let thread_id = thread(name);
    checkpointer
        .set_thread_metadata(&thread_id, metadata)
        .await
        .unwrap();
}
