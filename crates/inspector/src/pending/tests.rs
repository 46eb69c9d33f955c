//! What writes say of tasks.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use checkpointer::serde_json::json;
use checkpointer::{Checkpoint, CheckpointAddress, CheckpointId, Metadata};

use super::*;

fn states(writes: &[(&str, &str)]) -> Vec<(String, TaskState)> {
    let id = CheckpointId::new("c1").unwrap();
    let address = CheckpointAddress::new("t", &id).unwrap();
    let mut tuple = CheckpointTuple::new(address, Checkpoint::new(id), Metadata::default());
    tuple.pending_writes = (writes.iter())
        .map(|(task, channel)| PendingWrite::new(TaskId::new(*task).unwrap(), *channel, json!(1)))
        .collect();
    (Pending::of(&tuple).tasks.iter())
        .map(|task| (task.task_id.to_string(), task.state))
        .collect()
}

#[test]
fn a_task_is_judged_by_all_of_its_writes() {
    let states = states(&[
        ("asks", INTERRUPT),
        ("asked", INTERRUPT),
        ("asked", RESUME),
        ("done", INTERRUPT),
        ("done", RESUME),
        ("done", "draft"),
        ("early", RESUME),
        ("failed", ERROR),
        ("handled", ERROR),
        ("handled", "__error_source_node__"),
        ("failed since its answer", ERROR),
        ("failed since its answer", INTERRUPT),
        ("failed since its answer", RESUME),
        ("failed once and asks", ERROR),
        ("failed once and asks", INTERRUPT),
        ("failed once and done", ERROR),
        ("failed once and done", INTERRUPT),
        ("failed once and done", "draft"),
        ("plans", SCHEDULED),
    ]);
    let expected = [
        ("asks", TaskState::Waits),
        ("asked", TaskState::Waits),
        ("done", TaskState::Done),
        ("early", TaskState::Answered),
        ("failed", TaskState::Failed),
        ("handled", TaskState::Failed),
        ("failed since its answer", TaskState::Failed),
        ("failed once and asks", TaskState::Waits),
        ("failed once and done", TaskState::Done),
        ("plans", TaskState::Scheduled),
    ];
    assert_eq!(
        states,
        expected.map(|(task, state)| (task.to_owned(), state))
    );
}
