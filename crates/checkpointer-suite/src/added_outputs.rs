//! Outputs of a task that are added to those of a call before.
//!
//! The group isn't among those of every checkpointer: name it for one that was made with
//! [`TaskOutputs::ByPosition`](checkpointer::TaskOutputs::ByPosition).

use serde_json::json;

use super::step::{Step, fresh_thread, get, pending, write};
use checkpointer::{CheckpointAddress, Checkpointer};

async fn stored(checkpointer: &dyn Checkpointer) -> CheckpointAddress {
    Step::first(&fresh_thread()).put(checkpointer).await
}

/// A later call adds what it has beyond those that are stored, which stay.
pub async fn a_later_call_adds_what_it_has_beyond(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for writes in [
        json!([["a", 1]]),
        json!([["a", 2], ["b", 2]]),
        json!([["a", 3], ["b", 3], ["c", 3]]),
        json!([["a", 4]]),
    ] {
        write(checkpointer, &address, "task", writes).await;
    }
    let tuple = get(checkpointer, &address).await;
    let expected = json!([["task", "a", 1], ["task", "b", 2], ["task", "c", 3]]);
    assert_eq!(pending(&tuple), expected);
}

/// Special writes count no position, and the last one replaces those before it.
pub async fn special_ones_count_no_position(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for writes in [
        json!([["__resume__", [1]], ["a", 1]]),
        json!([["a", 2], ["__resume__", [1, 2]], ["b", 2]]),
    ] {
        write(checkpointer, &address, "task", writes).await;
    }
    let tuple = get(checkpointer, &address).await;
    let expected = json!([
        ["task", "__resume__", [1, 2]],
        ["task", "a", 1],
        ["task", "b", 2],
    ]);
    assert_eq!(pending(&tuple), expected);
}

/// Added outputs may be large.
pub async fn large_ones_are_added(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    let large = |word: &str| vec![word.repeat(50); 200];
    let first = json!([["a", large("first")]]);
    write(checkpointer, &address, "task", first).await;
    let second = json!([["a", large("again")], ["b", large("second")]]);
    write(checkpointer, &address, "task", second).await;
    let tuple = get(checkpointer, &address).await;
    let expected = json!([
        ["task", "a", large("first")],
        ["task", "b", large("second")],
    ]);
    assert_eq!(pending(&tuple), expected);
}

/// Of two calls at the same moment each position has the output of one of them.
pub async fn each_position_has_one_of_concurrent_ones(checkpointer: &dyn Checkpointer) {
    let address = stored(checkpointer).await;
    for round in 0..20 {
        let task = &format!("task {round:02}");
        let short = write(checkpointer, &address, task, json!([["a", 0]]));
        let long = write(checkpointer, &address, task, json!([["a", 0], ["b", 1]]));
        futures_util::join!(long, short);
    }
    let tuple = get(checkpointer, &address).await;
    assert_eq!(tuple.pending_writes.len(), 40);
    for task in tuple.pending_writes.chunk_by(|a, b| a.task_id == b.task_id) {
        let outputs: Vec<_> = task.iter().map(|write| &*write.value).collect();
        assert_eq!(outputs, [&json!(0), &json!(1)]);
    }
}
