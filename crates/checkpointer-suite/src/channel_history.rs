//! `channel_history`: the writes from which a channel is rebuilt.

use serde_json::json;

use super::step::{Step, fresh_thread, history, id, put_chain, try_write, write, writes};
use checkpointer::{
    CheckpointAddress, CheckpointId, Checkpointer, GetChannelHistory, GetTuple, ThreadId,
};

/// Puts a checkpoint in which `log` has a version and no value, or the value that is given.
async fn put(
    checkpointer: &dyn Checkpointer,
    step: Step,
    version: i64,
    value: Option<&str>,
) -> CheckpointAddress {
    let step = match value {
        Some(value) => step.values(json!({ "log": value })),
        None => step,
    };
    let step = step.versions(json!({ "log": version })).changed(["log"]);
    step.put(checkpointer).await
}

/// Puts checkpoints in a row; `values` are those of `log`. Each but the last has a write.
async fn put_log(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
    values: &[Option<&str>],
) -> Vec<CheckpointAddress> {
    let mut chain: Vec<CheckpointAddress> = Vec::new();
    for (n, value) in (0..).zip(values) {
        let step = match chain.last() {
            None => Step::first(thread_id),
            Some(last) => {
                let entry = json!([["log", format!("write {}", n - 1)], ["other", n]]);
                write(checkpointer, last, "task", entry).await;
                Step::after(last)
            }
        };
        chain.push(put(checkpointer, step, n, *value).await);
    }
    chain
}

/// The oldest write comes first.
pub async fn returns_writes_oldest_first(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_log(checkpointer, &thread_id, &[None; 4]).await;
    let log = history(checkpointer, GetTuple::head(&thread_id).unwrap(), "log").await;
    let expected = json!([
        ["task", "log", "write 0"],
        ["task", "log", "write 1"],
        ["task", "log", "write 2"]
    ]);
    assert_eq!(writes(&log.writes), expected);
}

/// The seed is the nearest stored value; what is older doesn't count.
pub async fn seed_is_nearest_snapshot(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let values = [Some("old"), None, Some("new"), None, None];
    put_log(checkpointer, &thread_id, &values).await;
    let log = history(checkpointer, GetTuple::head(&thread_id).unwrap(), "log").await;
    assert_eq!(log.seed.as_deref(), Some(&json!("new")));
    assert_eq!(log.writes.len(), 2);
}

/// The target's own writes are of the next step and don't count.
pub async fn excludes_target_pending_writes(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_log(checkpointer, &thread_id, &[None; 2]).await;
    write(checkpointer, &chain[1], "late", json!([["log", "next"]])).await;
    let log = history(checkpointer, GetTuple::at(&chain[1]), "log").await;
    assert_eq!(writes(&log.writes), json!([["task", "log", "write 0"]]));
}

/// Each channel has a history of its own.
pub async fn multi_channel(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_log(checkpointer, &thread_id, &[Some("seed"), None, None]).await;
    let channels = ["log", "other", "missing"].map(str::to_owned).to_vec();
    let query = GetChannelHistory::new(GetTuple::head(&thread_id).unwrap(), channels).unwrap();
    let histories = checkpointer.channel_history(query).await.unwrap();
    assert_eq!(histories["log"].seed.as_deref(), Some(&json!("seed")));
    assert_eq!(histories["log"].writes.len(), 2);
    assert_eq!(histories["other"].seed, None);
    let expected = json!([["task", "other", 1], ["task", "other", 2]]);
    assert_eq!(writes(&histories["other"].writes), expected);
    assert_eq!(
        histories["missing"],
        checkpointer::ChannelHistory::default()
    );
    assert_eq!(histories.len(), 3);
}

/// No channels have no history.
pub async fn empty_channels_returns_empty(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_log(checkpointer, &thread_id, &[None; 2]).await;
    let query = GetChannelHistory::new(GetTuple::head(&thread_id).unwrap(), Vec::<String>::new());
    let histories = checkpointer.channel_history(query.unwrap()).await.unwrap();
    assert!(histories.is_empty());
}

/// Where no ancestor has a value there is no seed.
pub async fn walk_to_root_no_seed(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_log(checkpointer, &thread_id, &[None; 3]).await;
    let log = history(checkpointer, GetTuple::head(&thread_id).unwrap(), "log").await;
    assert_eq!(log.seed, None);
    assert_eq!(log.writes.len(), 2);
}

/// A plain value is a seed, null as well.
pub async fn migration_plain_value_as_seed(checkpointer: &dyn Checkpointer) {
    for seed in [json!(["a", "b"]), json!(7), json!("text"), json!(null)] {
        let step = Step::first(&fresh_thread()).values(json!({ "log": seed }));
        let first = step.put(checkpointer).await;
        let second = put(checkpointer, Step::after(&first), 2, None).await;
        let third = put(checkpointer, Step::after(&second), 3, None).await;
        let log = history(checkpointer, GetTuple::at(&third), "log").await;
        assert_eq!(log.seed.as_deref(), Some(&seed));
    }
}

/// The writes on the ancestor that has the seed come after it.
pub async fn seed_ancestor_own_writes_are_replayed(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_log(checkpointer, &thread_id, &[None, Some("seed"), None]).await;
    let log = history(checkpointer, GetTuple::head(&thread_id).unwrap(), "log").await;
    assert_eq!(log.seed.as_deref(), Some(&json!("seed")));
    assert_eq!(writes(&log.writes), json!([["task", "log", "write 1"]]));
}

/// Within a step writes come by task path, task and index.
pub async fn order_within_a_step(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread());
    let first = put(checkpointer, first, 1, None).await;
    for (task, path) in [("1", "b"), ("2", "a"), ("0", "b")] {
        let entries = json!([["log", format!("{task}.0")], ["log", format!("{task}.1")]]);
        let written = try_write(checkpointer, &first, task, path, entries).await;
        written.unwrap();
    }
    let second = put(checkpointer, Step::after(&first), 2, None).await;
    let log = history(checkpointer, GetTuple::at(&second), "log").await;
    let order: Vec<_> = log.writes.iter().map(|write| &*write.value).collect();
    assert_eq!(order, ["2.0", "2.1", "0.0", "0.1", "1.0", "1.1"]);
}

/// The walk goes by parents: ids say nothing.
pub async fn parent_sorts_above_its_child(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).id("c");
    let first = put(checkpointer, first, 1, Some("seed")).await;
    write(checkpointer, &first, "task", json!([["log", "one"]])).await;
    let second = put(checkpointer, Step::after(&first).id("b"), 2, None).await;
    write(checkpointer, &second, "task", json!([["log", "two"]])).await;
    put(checkpointer, Step::after(&second).id("a"), 3, None).await;
    let log = history(checkpointer, GetTuple::head(&thread_id).unwrap(), "log").await;
    assert_eq!(log.seed.as_deref(), Some(&json!("seed")));
    let expected = json!([["task", "log", "one"], ["task", "log", "two"]]);
    assert_eq!(writes(&log.writes), expected);
}

/// A branch has the writes of its own ancestors only.
pub async fn of_a_branch(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_log(checkpointer, &thread_id, &[None; 3]).await;
    let fork = put(checkpointer, Step::after(&chain[0]), 1, None).await;
    write(checkpointer, &fork, "fork", json!([["log", "forked"]])).await;
    let head = put(checkpointer, Step::after(&fork), 2, None).await;
    let log = history(checkpointer, GetTuple::at(&head), "log").await;
    let expected = json!([["task", "log", "write 0"], ["fork", "log", "forked"]]);
    assert_eq!(writes(&log.writes), expected);
}

/// An ancestor that inherited its value has a stored value.
pub async fn inherited_value_is_a_seed(checkpointer: &dyn Checkpointer) {
    let first = Step::first(&fresh_thread());
    let first = put(checkpointer, first, 1, Some("seed")).await;
    write(
        checkpointer,
        &first,
        "task",
        json!([["log", "not counted"]]),
    )
    .await;
    let heir = Step::after(&first).versions(json!({ "log": 1 }));
    let heir = heir.put(checkpointer).await;
    let last = put(checkpointer, Step::after(&heir), 2, None).await;
    let log = history(checkpointer, GetTuple::at(&last), "log").await;
    assert_eq!(log.seed.as_deref(), Some(&json!("seed")));
    assert_eq!(log.writes, []);
}

/// Without the target every channel's history is empty.
pub async fn of_a_missing_target(checkpointer: &dyn Checkpointer) {
    let nothing = checkpointer::ChannelHistory::default();
    let of_no_thread = GetTuple::head(fresh_thread()).unwrap();
    assert_eq!(history(checkpointer, of_no_thread, "log").await, nothing);
    let chain = put_chain(checkpointer, &fresh_thread(), 2).await;
    let missing = chain[1].sibling(CheckpointId::generate(None));
    let missing = GetTuple::at(&missing);
    assert_eq!(history(checkpointer, missing, "n").await, nothing);
}

/// Where parents form a ring the walk ends, and each ancestor's writes are there once.
pub async fn ends_in_a_ring_of_parents(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let last = Step::first(&thread_id).id("3").parent(id("5"));
    let mut last = put(checkpointer, last, 1, None).await;
    for n in ["4", "5", "6", "7", "8"] {
        write(checkpointer, &last, "task", json!([["log", n]])).await;
        last = put(checkpointer, Step::after(&last).id(n), 2, None).await;
    }
    let log = history(checkpointer, GetTuple::at(&last), "log").await;
    let expected = ["4", "5", "6", "7", "8"].map(|n| json!(["task", "log", n]));
    assert_eq!(writes(&log.writes), json!(expected));
}
