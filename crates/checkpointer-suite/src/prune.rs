//! `prune`: the latest checkpoints stay, with what they need.

use std::time::Duration;

use serde_json::json;

use super::step::{
    Step, acquire, find, fresh_thread, get, head, history, ids, is_deleted, is_held, ns, pending,
    prune, put_chain, values, write, writes,
};
use checkpointer::{
    CheckpointAddress, CheckpointId, Checkpointer, Error, GetTuple, Prune, PruneStrategy, Removed,
    ThreadId,
};

async fn prune_all(
    checkpointer: &dyn Checkpointer,
    thread_ids: &[&ThreadId],
    strategy: PruneStrategy,
) {
    let prune = Prune::new(thread_ids.iter().copied(), strategy).unwrap();
    checkpointer
        .prune(prune)
        .await
        .and_then(Removed::complete)
        .unwrap();
}

/// Only the latest checkpoint stays.
pub async fn keep_latest_single_thread(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 4).await;
    prune(checkpointer, &thread_id).await;
    let left = ids(checkpointer, &thread_id).await;
    assert_eq!(left, [chain[3].checkpoint_id.clone()]);
    let tuple = get(checkpointer, &chain[3]).await;
    assert_eq!(values(&tuple), json!({ "n": 3 }));
}

/// Each thread keeps its latest.
pub async fn keep_latest_multiple_threads(checkpointer: &dyn Checkpointer) {
    let (one, two) = (fresh_thread(), fresh_thread());
    let of_one = put_chain(checkpointer, &one, 3).await;
    let of_two = put_chain(checkpointer, &two, 2).await;
    prune_all(checkpointer, &[&two, &one], PruneStrategy::KeepLatest).await;
    assert_eq!(
        ids(checkpointer, &one).await,
        [of_one[2].checkpoint_id.clone()]
    );
    assert_eq!(
        ids(checkpointer, &two).await,
        [of_two[1].checkpoint_id.clone()]
    );
}

/// Each namespace keeps its latest.
pub async fn keep_latest_across_namespaces(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut latest = Vec::new();
    for name in ["", "child:1"] {
        let first = Step::first(&thread_id).in_ns(name).put(checkpointer).await;
        latest.push(Step::after(&first).put(checkpointer).await.checkpoint_id);
    }
    prune(checkpointer, &thread_id).await;
    latest.reverse();
    assert_eq!(ids(checkpointer, &thread_id).await, latest);
}

/// The latest checkpoint keeps its writes.
pub async fn keep_latest_preserves_writes(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    write(checkpointer, &chain[2], "task", json!([["a", 1]])).await;
    prune(checkpointer, &thread_id).await;
    let tuple = get(checkpointer, &chain[2]).await;
    assert_eq!(pending(&tuple), json!([["task", "a", 1]]));
}

/// The other strategy deletes the thread.
pub async fn delete_all(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    prune_all(checkpointer, &[&thread_id], PruneStrategy::Delete).await;
    assert_eq!(ids(checkpointer, &thread_id).await, []);
    let late = Step::after(&chain[2]).try_put(checkpointer).await;
    assert!(is_deleted(&late), "{late:?}");
}

/// Other threads stay.
pub async fn preserves_other_threads(checkpointer: &dyn Checkpointer) {
    let (mine, other) = (fresh_thread(), fresh_thread());
    put_chain(checkpointer, &mine, 3).await;
    put_chain(checkpointer, &other, 2).await;
    prune_all(checkpointer, &[&mine], PruneStrategy::KeepLatest).await;
    assert_eq!(ids(checkpointer, &other).await.len(), 2);
}

/// A parent that was never stored is no old checkpoint: it may still come.
pub async fn keeps_the_name_of_a_parent_that_was_never_stored(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).put(checkpointer).await;
    let missing = CheckpointId::generate(Some(&first.checkpoint_id));
    let step = Step::after(&first).parent(missing.clone());
    let address = step.put(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    let parent = get(checkpointer, &address).await.parent_address;
    assert_eq!(parent.map(|parent| parent.checkpoint_id), Some(missing));
    assert_eq!(ids(checkpointer, &thread_id).await, [address.checkpoint_id]);
}

/// No thread is nothing to do.
pub async fn empty_list_noop(checkpointer: &dyn Checkpointer) {
    prune_all(checkpointer, &[], PruneStrategy::KeepLatest).await;
    prune_all(checkpointer, &[], PruneStrategy::Delete).await;
}

/// A thread that doesn't exist is passed over.
pub async fn nonexistent_noop(checkpointer: &dyn Checkpointer) {
    let (missing, mine) = (fresh_thread(), fresh_thread());
    put_chain(checkpointer, &mine, 2).await;
    prune_all(checkpointer, &[&missing, &mine], PruneStrategy::KeepLatest).await;
    prune_all(checkpointer, &[&missing], PruneStrategy::Delete).await;
    assert_eq!(ids(checkpointer, &mine).await.len(), 1);
    assert_eq!(ids(checkpointer, &missing).await, []);
}

/// Twice is once.
pub async fn twice(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    prune(checkpointer, &thread_id).await;
    let once = get(checkpointer, &chain[2]).await;
    prune(checkpointer, &thread_id).await;
    assert_eq!(get(checkpointer, &chain[2]).await, once);
}

/// A parent that is gone isn't named any more.
pub async fn forgets_the_parent(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    prune(checkpointer, &thread_id).await;
    let tuple = get(checkpointer, &chain[1]).await;
    assert_eq!(tuple.parent_address, None);
}

/// The latest is the one put last, whatever its id.
pub async fn keeps_the_head(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).id("z").put(checkpointer).await;
    let last = Step::after(&first).id("a").put(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    assert_eq!(ids(checkpointer, &thread_id).await, [last.checkpoint_id]);
}

/// A pruned thread goes on: by guarded puts, and by a put again of what was pruned around.
pub async fn goes_on(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).put(checkpointer).await;
    let second = Step::after(&first).expect_head(&first);
    let head_config = second.put(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    second.put(checkpointer).await;
    let third = Step::after(&head_config).expect_head(&head_config);
    let third = third.put(checkpointer).await;
    let head = head(checkpointer, &thread_id).await;
    assert_eq!(head, Some(third.checkpoint_id));
}

/// What was inherited from a parent that is gone stays.
pub async fn keeps_inherited_values(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id)
        .values(json!({ "a": [1, 2] }))
        .versions(json!({ "a": 1 }))
        .put(checkpointer)
        .await;
    let second = Step::after(&first).versions(json!({ "a": 1 }));
    let second = second.put(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    let tuple = get(checkpointer, &second).await;
    assert_eq!(values(&tuple), json!({ "a": [1, 2] }));
}

/// Writes before their checkpoint stay.
pub async fn keeps_writes_before_their_checkpoint(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    let next = Step::after(&chain[1]);
    let address = chain[1].sibling(next.checkpoint.id.clone());
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    prune(checkpointer, &thread_id).await;
    next.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([["task", "a", 1]]));
}

/// Writes of checkpoints that are gone are gone.
pub async fn removes_writes(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id);
    let address = first.put(checkpointer).await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    Step::after(&address).put(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    first.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([]));
}

async fn put_call(checkpointer: &dyn Checkpointer, root: &CheckpointAddress, name: &str) {
    let parents = json!({ "": root.checkpoint_id.as_str() });
    for _ in 0..2 {
        let step = Step::first(&root.thread_id).in_ns(name);
        let step = step.metadata("parents", parents.clone());
        step.put(checkpointer).await;
    }
}

async fn count_in(checkpointer: &dyn Checkpointer, thread_id: &ThreadId, name: &str) -> usize {
    let query = checkpointer::List::thread(thread_id)
        .unwrap()
        .in_ns(ns(name));
    super::step::list(checkpointer, query).await.len()
}

/// A subgraph's call goes with the root checkpoint it started from.
pub async fn removes_calls_that_are_over(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    put_call(checkpointer, &chain[0], "child:1").await;
    put_call(checkpointer, &chain[1], "child:2").await;
    prune(checkpointer, &thread_id).await;
    assert_eq!(count_in(checkpointer, &thread_id, "child:1").await, 0);
    assert_eq!(count_in(checkpointer, &thread_id, "child:2").await, 1);
}

/// A subgraph with state of its own keeps its latest.
pub async fn keeps_subgraphs_with_state(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    put_call(checkpointer, &chain[0], "memory").await;
    prune(checkpointer, &thread_id).await;
    assert_eq!(count_in(checkpointer, &thread_id, "memory").await, 1);
}

/// A subgraph's call whose root checkpoint isn't stored yet stays.
pub async fn keeps_calls_before_their_root(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    let missing = chain[1].sibling(super::step::id("not-stored"));
    put_call(checkpointer, &missing, "child:1").await;
    prune(checkpointer, &thread_id).await;
    assert_eq!(count_in(checkpointer, &thread_id, "child:1").await, 1);
}

/// Puts five checkpoints whose channel `log` is stored as writes, but for a value in the second.
async fn put_log(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> Vec<CheckpointAddress> {
    let mut chain: Vec<CheckpointAddress> = Vec::new();
    for n in 0..5 {
        let step = chain
            .last()
            .map_or_else(|| Step::first(thread_id), Step::after);
        let step = match n {
            1 => step.values(json!({ "log": ["seed"], "n": n })),
            _ => step.values(json!({ "n": n })),
        };
        let step = step.versions(json!({ "log": n, "n": n }));
        let address = step.changed(["log", "n"]).put(checkpointer).await;
        let entry = json!([["log", format!("entry {n}")], ["n", n + 1]]);
        write(checkpointer, &address, "task", entry).await;
        chain.push(address);
    }
    chain
}

/// A channel stored as writes keeps the ancestors it is rebuilt from, back to a stored value.
pub async fn keeps_what_writes_are_rebuilt_from(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_log(checkpointer, &thread_id).await;
    let before = history(checkpointer, GetTuple::head(&thread_id).unwrap(), "log").await;
    assert_eq!(before.seed.as_deref(), Some(&json!(["seed"])));
    assert_eq!(before.writes.len(), 3);
    for _ in 0..2 {
        prune(checkpointer, &thread_id).await;
        let after = history(checkpointer, GetTuple::head(&thread_id).unwrap(), "log").await;
        assert_eq!(after, before);
    }
    assert_eq!(find(checkpointer, GetTuple::at(&chain[0])).await, None);
    let seed = get(checkpointer, &chain[1]).await;
    assert_eq!(seed.parent_address, None);
}

/// Without a stored value all writes of the channel stay.
pub async fn keeps_all_writes_without_a_seed(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).versions(json!({ "log": 1 }));
    let mut last = first.put(checkpointer).await;
    for n in 2..5 {
        write(checkpointer, &last, "task", json!([["log", n]])).await;
        let step = Step::after(&last).versions(json!({ "log": n }));
        last = step.changed(["log"]).put(checkpointer).await;
    }
    prune(checkpointer, &thread_id).await;
    let log = history(checkpointer, GetTuple::at(&last), "log").await;
    let expected = json!([["task", "log", 2], ["task", "log", 3], ["task", "log", 4]]);
    assert_eq!(writes(&log.writes), expected);
}

/// A channel that was emptied keeps no ancestor.
pub async fn an_emptied_channel_keeps_nobody(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).values(json!({ "__start__": 1 }));
    let mut last = first.put(checkpointer).await;
    for n in 0..3 {
        write(checkpointer, &last, "task", json!([["n", n]])).await;
        let step = Step::after(&last).values(json!({ "n": n }));
        let step = step.versions(json!({ "n": n, "__start__": "emptied" }));
        last = step.changed(["n", "__start__"]).put(checkpointer).await;
    }
    prune(checkpointer, &thread_id).await;
    assert_eq!(ids(checkpointer, &thread_id).await, [last.checkpoint_id]);
}

/// A checkpoint of an old format keeps the parent whose sends it reads.
pub async fn keeps_pending_sends_of_old_formats(checkpointer: &dyn Checkpointer) {
    for (v, kept) in [(3, 2), (4, 1)] {
        let thread_id = fresh_thread();
        let chain = put_chain(checkpointer, &thread_id, 2).await;
        write(
            checkpointer,
            &chain[1],
            "task",
            json!([["__pregel_tasks", 1]]),
        )
        .await;
        let mut last = Step::after(&chain[1]);
        last.checkpoint.v = v;
        last.put(checkpointer).await;
        prune(checkpointer, &thread_id).await;
        assert_eq!(ids(checkpointer, &thread_id).await.len(), kept, "v = {v}");
    }
}

/// A thread that another program has a lease on doesn't keep the others.
pub async fn one_failure_keeps_nothing_else(checkpointer: &dyn Checkpointer) {
    let threads = [fresh_thread(), fresh_thread(), fresh_thread()];
    for thread_id in &threads {
        put_chain(checkpointer, thread_id, 2).await;
    }
    let _lease = acquire(checkpointer, &threads[1], Duration::from_secs(600)).await;
    let prune = Prune::new(&threads, PruneStrategy::Delete).unwrap();
    let removed = checkpointer.prune(prune).await.unwrap();
    assert_eq!((removed.threads, removed.checkpoints), (2, 4));
    assert_eq!(removed.untried, []);
    let failed: Vec<_> = removed.failed.iter().collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].thread_id, threads[1]);
    assert!(
        matches!(failed[0].error, Error::LeaseHeld { .. }),
        "{failed:?}"
    );
    assert!(is_held(&removed.complete()));
    for (thread_id, left) in threads.iter().zip([0, 2, 0]) {
        assert_eq!(ids(checkpointer, thread_id).await.len(), left);
    }
}

/// What a prune removes is counted.
pub async fn counts(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    for address in &chain {
        write(checkpointer, address, "task", json!([["a", 1], ["b", 2]])).await;
    }
    let prune = |strategy| checkpointer.prune(Prune::new([&thread_id], strategy).unwrap());
    let counts = |removed: Removed| (removed.checkpoints, removed.writes, removed.threads);
    let thinned = prune(PruneStrategy::KeepLatest).await.unwrap();
    assert_eq!(counts(thinned), (2, 4, 0));
    let again = prune(PruneStrategy::KeepLatest).await.unwrap();
    assert_eq!(counts(again), (0, 0, 0));
    let deleted = prune(PruneStrategy::Delete).await.unwrap();
    assert_eq!(counts(deleted), (1, 2, 1));
    let again = prune(PruneStrategy::Delete).await.unwrap();
    assert_eq!(counts(again), (0, 0, 0));
}
