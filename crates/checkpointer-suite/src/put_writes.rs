//! `put_writes`: outputs of tasks, before the next checkpoint exists.

use serde_json::json;

use super::step::{
    Step, find, fresh_thread, get, head, list, pending, put_chain, try_write, write,
};
use checkpointer::{CheckpointAddress, CheckpointId, Checkpointer, GetTuple, List};

async fn stored(checkpointer: &dyn Checkpointer) -> CheckpointAddress {
    Step::first(&fresh_thread()).put(checkpointer).await
}

/// A write shows on its checkpoint.
pub async fn basic(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    write(checkpointer, &address, "task", json!([["a", "value"]])).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([["task", "a", "value"]]));
}

/// A task writes to several channels, and to one several times.
pub async fn multiple_writes_same_task(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let writes = json!([["b", 1], ["a", 2], ["b", 3]]);
    write(checkpointer, &address, "task", writes).await;
    let tuple = get(checkpointer, &address).await;
    let expected = json!([["task", "b", 1], ["task", "a", 2], ["task", "b", 3]]);
    assert_eq!(pending(&tuple), expected);
}

/// Several tasks write on one checkpoint.
pub async fn multiple_tasks(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    write(checkpointer, &address, "two", json!([["a", 2]])).await;
    write(checkpointer, &address, "one", json!([["a", 1]])).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([["one", "a", 1], ["two", "a", 2]]));
}

/// A write names its task.
pub async fn preserves_task_id(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let task = "c4b9083a-5c1c-89a5-794c-843b39216df5";
    write(checkpointer, &address, task, json!([["a", 1]])).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.pending_writes[0].task_id.as_str(), task);
}

/// A write names its channel and has its value.
pub async fn preserves_channel_and_value(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let value = json!({ "data": [1, null, { "x": 1.5 }] });
    write(
        checkpointer,
        &address,
        "task",
        json!([["mine", value], ["none", null]]),
    )
    .await;
    let tuple = get(checkpointer, &address).await;
    let expected = json!([["task", "mine", value], ["task", "none", null]]);
    assert_eq!(pending(&tuple), expected);
}

/// A task may have a path.
pub async fn task_path(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let path = "~__pregel_pull, node";
    let written = try_write(checkpointer, &address, "task", path, json!([["a", 1]])).await;
    written.unwrap();
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.pending_writes.len(), 1);
}

/// The same writes again change nothing.
pub async fn idempotent(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for _ in 0..2 {
        write(checkpointer, &address, "task", json!([["a", 1], ["b", 2]])).await;
    }
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([["task", "a", 1], ["task", "b", 2]]));
}

/// The special channels are stored beside the others and come before them.
pub async fn special_channels(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let writes = json!([
        ["a", 0],
        ["__error__", "it broke"],
        ["__scheduled__", 1],
        ["__interrupt__", { "question": "publish?" }],
        ["__resume__", true],
    ]);
    write(checkpointer, &address, "task", writes).await;
    let tuple = get(checkpointer, &address).await;
    let expected = json!([
        ["task", "__resume__", true],
        ["task", "__interrupt__", { "question": "publish?" }],
        ["task", "__scheduled__", 1],
        ["task", "__error__", "it broke"],
        ["task", "a", 0],
    ]);
    assert_eq!(pending(&tuple), expected);
}

/// Namespaces don't see each other's writes.
pub async fn across_namespaces(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let root = Step::first(&thread_id).id("same").put(checkpointer).await;
    let child = Step::first(&thread_id).id("same").in_ns("child:1");
    let child = child.put(checkpointer).await;
    write(checkpointer, &root, "task", json!([["a", "root"]])).await;
    write(checkpointer, &child, "task", json!([["a", "child"]])).await;
    let root = get(checkpointer, &root).await;
    let child = get(checkpointer, &child).await;
    assert_eq!(pending(&root), json!([["task", "a", "root"]]));
    assert_eq!(pending(&child), json!([["task", "a", "child"]]));
}

/// The next checkpoint begins without writes.
pub async fn cleared_on_next_checkpoint(checkpointer: &dyn Checkpointer) {
    let first = stored(checkpointer).await;
    write(checkpointer, &first, "task", json!([["a", 1]])).await;
    let second = Step::after(&first).put(checkpointer).await;
    let second = get(checkpointer, &second).await;
    assert_eq!(pending(&second), json!([]));
}

/// Of a task's regular writes those of the first call stay, as a whole, however many there are.
pub async fn regular_keeps_the_first(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for task in ["few", "many"] {
        let few = json!([["a", 1]]);
        let many = json!([["b", 2], ["c", 3], ["d", 4]]);
        let (first, second) = match task {
            "few" => (few, many),
            _ => (many, few),
        };
        write(checkpointer, &address, task, first).await;
        write(checkpointer, &address, task, second).await;
    }
    let tuple = get(checkpointer, &address).await;
    let expected = json!([
        ["few", "a", 1],
        ["many", "b", 2],
        ["many", "c", 3],
        ["many", "d", 4],
    ]);
    assert_eq!(pending(&tuple), expected);
}

/// The first call with regular writes counts, also if it has special ones in front of them, or comes
/// after one that has only special ones.
pub async fn regular_of_a_mixed_call_keep_the_first(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for writes in [
        json!([["__interrupt__", 1]]),
        json!([["__resume__", 1], ["a", 1], ["__error__", 1]]),
        json!([["a", 2], ["b", 2], ["__resume__", 2]]),
        json!([["c", 3], ["d", 3]]),
    ] {
        write(checkpointer, &address, "task", writes).await;
    }
    let tuple = get(checkpointer, &address).await;
    let expected = json!([
        ["task", "__resume__", 2],
        ["task", "__interrupt__", 1],
        ["task", "__error__", 1],
        ["task", "a", 1],
    ]);
    assert_eq!(pending(&tuple), expected);
}

/// Of two executions of a task at the same moment, all that one has written is stored, and nothing
/// of the other's.
pub async fn concurrent_executions(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for round in 0..20 {
        let task = &format!("task {round:02}");
        let short = write(checkpointer, &address, task, json!([["a", "short"]]));
        let mixed = json!([["a", "mixed"], ["b", "mixed"], ["__error__", "no"]]);
        let mixed = write(checkpointer, &address, task, mixed);
        let long = json!([["a", "long"], ["b", "long"], ["c", "long"]]);
        let long = write(checkpointer, &address, task, long);
        futures_util::join!(long, mixed, short);
    }
    let tuple = get(checkpointer, &address).await;
    for task in tuple.pending_writes.chunk_by(|a, b| a.task_id == b.task_id) {
        let outputs: Vec<_> = task
            .iter()
            .filter(|write| write.channel != "__error__")
            .map(|write| write.value.as_str().unwrap())
            .collect();
        let (whose, count) = (outputs[0], outputs.len());
        assert_eq!(outputs, vec![whose; count]);
        let written = [("short", 1), ("mixed", 2), ("long", 3)];
        assert!(written.contains(&(whose, count)), "{whose}: {count}");
        assert_eq!(task.len(), count + 1, "the special one is stored anyway");
    }
}

/// In a mixed call each write goes by its own rule: special ones replace, regular ones stay.
pub async fn mixed_call_each_for_itself(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let writes = json!([["a", 1], ["__error__", "first"]]);
    write(checkpointer, &address, "task", writes).await;
    let writes = json!([["a", 2], ["__error__", "second"]]);
    write(checkpointer, &address, "task", writes).await;
    let tuple = get(checkpointer, &address).await;
    let expected = json!([["task", "__error__", "second"], ["task", "a", 1]]);
    assert_eq!(pending(&tuple), expected);
}

/// A `__resume__` written again has the last value, in one call and over several.
pub async fn resume_takes_the_last(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let writes = json!([["__resume__", [1]], ["__resume__", [1, 2]]]);
    write(checkpointer, &address, "task", writes).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([["task", "__resume__", [1, 2]]]));
    write(
        checkpointer,
        &address,
        "task",
        json!([["__resume__", [1, 2, 3]]]),
    )
    .await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([["task", "__resume__", [1, 2, 3]]]));
}

/// Writes come by task path, then task, then index, all in the order of bytes.
pub async fn order(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for (task, path) in [
        ("1", "b"),
        ("2", "a"),
        ("3", ""),
        ("0", "b"),
        ("4", "B"),
        ("5", "é"),
    ] {
        let writes = json!([["x", 0], ["y", 1], ["__interrupt__", 2]]);
        let written = try_write(checkpointer, &address, task, path, writes).await;
        written.unwrap();
    }
    let tuple = get(checkpointer, &address).await;
    let order = tuple.pending_writes.iter();
    let order: Vec<_> = order
        .map(|write| (write.task_id.as_str(), write.value.as_i64().unwrap()))
        .collect();
    let tasks = ["3", "4", "2", "0", "1", "5"].into_iter();
    let expected: Vec<_> = tasks
        .flat_map(|task| [(task, 2), (task, 0), (task, 1)])
        .collect();
    assert_eq!(order, expected);
}

/// More than ten writes of one task come in their order.
pub async fn order_of_many(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let writes: Vec<_> = (0..25).map(|n| json!(["a", n])).collect();
    write(checkpointer, &address, "task", writes.into()).await;
    let tuple = get(checkpointer, &address).await;
    let order = tuple.pending_writes.iter();
    let order: Vec<_> = order.map(|write| write.value.as_i64().unwrap()).collect();
    assert_eq!(order, Vec::from_iter(0..25));
}

/// A special write that is replaced keeps its task path.
pub async fn replaced_keeps_its_task_path(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for (task, path, value) in [("1", "b", 1), ("2", "c", 2), ("1", "d", 3)] {
        let writes = json!([["__error__", value]]);
        let written = try_write(checkpointer, &address, task, path, writes).await;
        written.unwrap();
    }
    let tuple = get(checkpointer, &address).await;
    let expected = json!([["1", "__error__", 3], ["2", "__error__", 2]]);
    assert_eq!(pending(&tuple), expected);
}

/// Writes may come before their checkpoint, even first of all in a thread, and show when it comes.
pub async fn before_their_checkpoint(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let step = Step::first(&thread_id);
    let address = CheckpointAddress::new(thread_id.clone(), step.checkpoint.id.clone()).unwrap();
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    assert_eq!(find(checkpointer, GetTuple::at(&address)).await, None);
    assert_eq!(head(checkpointer, &thread_id).await, None);
    assert_eq!(
        list(checkpointer, List::thread(&thread_id).unwrap()).await,
        []
    );
    let address = step.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([["task", "a", 1]]));
}

/// A call without writes stores nothing.
pub async fn none(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    write(checkpointer, &address, "task", json!([])).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([]));
}

/// Writes on an old checkpoint don't show on others.
pub async fn on_an_old_checkpoint(checkpointer: &dyn Checkpointer) {
    let chain = put_chain(checkpointer, &fresh_thread(), 3).await;
    write(checkpointer, &chain[1], "task", json!([["a", 1]])).await;
    let mut counts = Vec::new();
    for address in &chain {
        counts.push(get(checkpointer, address).await.pending_writes.len());
    }
    assert_eq!(counts, [0, 1, 0]);
}

/// Writes of concurrent tasks are all stored.
pub async fn concurrent_tasks(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let address = &address;
    let tasks = (0..16).map(|n| async move {
        let task = CheckpointId::generate(None).to_string();
        write(checkpointer, address, &task, json!([["a", n]])).await;
    });
    futures_util::future::join_all(tasks).await;
    let tuple = get(checkpointer, address).await;
    assert_eq!(tuple.pending_writes.len(), 16);
}
