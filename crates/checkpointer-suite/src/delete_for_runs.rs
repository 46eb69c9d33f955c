//! `delete_for_runs`: the checkpoints of runs.

use serde_json::json;

use super::step::{
    Step, find, fresh_thread, fresh_word, get, head, history, ids, pending, write, writes,
};
use checkpointer::{CheckpointAddress, Checkpointer, GetTuple, Removed, ThreadId};

async fn put_runs(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
    runs: &[&str],
) -> Vec<CheckpointAddress> {
    let mut chain: Vec<CheckpointAddress> = Vec::new();
    for run in runs {
        let step = chain
            .last()
            .map_or_else(|| Step::first(thread_id), Step::after);
        let step = step.values(json!({ "run": run })).metadata("run_id", *run);
        chain.push(step.put(checkpointer).await);
    }
    chain
}

async fn delete_runs(checkpointer: &dyn Checkpointer, runs: &[&str]) {
    let runs: Vec<_> = runs.iter().map(|run| (*run).to_owned()).collect();
    checkpointer
        .delete_for_runs(&runs)
        .await
        .and_then(Removed::complete)
        .unwrap();
}

/// One run's checkpoints are gone.
pub async fn single(checkpointer: &dyn Checkpointer) {
    let (thread_id, one, two) = (fresh_thread(), fresh_word(), fresh_word());
    let chain = put_runs(checkpointer, &thread_id, &[&one, &two]).await;
    delete_runs(checkpointer, &[&one]).await;
    let left = ids(checkpointer, &thread_id).await;
    assert_eq!(left, [chain[1].checkpoint_id.clone()]);
}

/// Several runs' checkpoints are gone, in several threads.
pub async fn multiple(checkpointer: &dyn Checkpointer) {
    let (left, right) = (fresh_thread(), fresh_thread());
    let (one, two) = (fresh_word(), fresh_word());
    put_runs(checkpointer, &left, &[&one, &two]).await;
    put_runs(checkpointer, &right, &[&two]).await;
    delete_runs(checkpointer, &[&one, &two]).await;
    assert_eq!(ids(checkpointer, &left).await, []);
    assert_eq!(ids(checkpointer, &right).await, []);
}

/// Other runs stay, and what belongs to none.
pub async fn preserves_other_runs(checkpointer: &dyn Checkpointer) {
    let (thread_id, one, two) = (fresh_thread(), fresh_word(), fresh_word());
    let chain = put_runs(checkpointer, &thread_id, &[&one, &two]).await;
    let without = Step::after(&chain[1]).put(checkpointer).await;
    delete_runs(checkpointer, &[&one]).await;
    let left = ids(checkpointer, &thread_id).await;
    assert_eq!(
        left,
        [without.checkpoint_id, chain[1].checkpoint_id.clone()]
    );
    let tuple = get(checkpointer, &chain[1]).await;
    assert_eq!(tuple.checkpoint.channel_values["run"], json!(two));
}

/// The writes of the run's checkpoints are gone.
pub async fn removes_writes(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    let step = Step::first(&thread_id).metadata("run_id", run.as_str());
    let address = step.put(checkpointer).await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    delete_runs(checkpointer, &[&run]).await;
    assert_eq!(find(checkpointer, GetTuple::at(&address)).await, None);
    step.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([]));
}

/// No run is nothing to do.
pub async fn empty_list_noop(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    put_runs(checkpointer, &thread_id, &[&run]).await;
    delete_runs(checkpointer, &[]).await;
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 1);
}

/// A run that doesn't exist is passed over.
pub async fn nonexistent_noop(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    put_runs(checkpointer, &thread_id, &[&run]).await;
    delete_runs(checkpointer, &[&fresh_word()]).await;
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 1);
}

/// A run's checkpoints are gone from all namespaces.
pub async fn across_namespaces(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    for name in ["", "child:1"] {
        let step = Step::first(&thread_id).in_ns(name);
        step.metadata("run_id", run.as_str())
            .put(checkpointer)
            .await;
    }
    delete_runs(checkpointer, &[&run]).await;
    assert_eq!(ids(checkpointer, &thread_id).await, []);
}

/// Where the head is gone, the checkpoint put last among the rest becomes the head.
pub async fn the_head_falls_back(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    let first = Step::first(&thread_id).id("m").put(checkpointer).await;
    Step::after(&first).id("z").put(checkpointer).await;
    let last = Step::after(&first).id("a").put(checkpointer).await;
    let removed = Step::after(&last).id("n").metadata("run_id", run.as_str());
    removed.put(checkpointer).await;
    delete_runs(checkpointer, &[&run]).await;
    let left = head(checkpointer, &thread_id).await;
    assert_eq!(left, Some(last.checkpoint_id.clone()));
    // The guard of the next put goes by that head.
    let next = Step::after(&last).expect_head(&last);
    next.put(checkpointer).await;
}

/// A thread of which nothing is left can go on with a first checkpoint.
pub async fn of_all_checkpoints(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    put_runs(checkpointer, &thread_id, &[&run, &run]).await;
    delete_runs(checkpointer, &[&run]).await;
    assert_eq!(head(checkpointer, &thread_id).await, None);
    let first = Step::first(&thread_id).expect_no_head();
    let first = first.put(checkpointer).await;
    let head = head(checkpointer, &thread_id).await;
    assert_eq!(head, Some(first.checkpoint_id));
}

/// Twice is once.
pub async fn twice(checkpointer: &dyn Checkpointer) {
    let (thread_id, one, two) = (fresh_thread(), fresh_word(), fresh_word());
    let chain = put_runs(checkpointer, &thread_id, &[&one, &two]).await;
    delete_runs(checkpointer, &[&two]).await;
    delete_runs(checkpointer, &[&two]).await;
    let head = head(checkpointer, &thread_id).await;
    assert_eq!(head, Some(chain[0].checkpoint_id.clone()));
}

/// A checkpoint whose writes a kept one is rebuilt from stays.
pub async fn keeps_what_is_needed(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    let first = Step::first(&thread_id)
        .versions(json!({ "log": 1 }))
        .metadata("run_id", run.as_str())
        .put(checkpointer)
        .await;
    write(checkpointer, &first, "task", json!([["log", "one"]])).await;
    let second = Step::after(&first)
        .versions(json!({ "log": 2 }))
        .changed(["log"]);
    let second = second.put(checkpointer).await;
    delete_runs(checkpointer, &[&run]).await;
    let log = history(checkpointer, GetTuple::at(&second), "log").await;
    assert_eq!(writes(&log.writes), json!([["task", "log", "one"]]));
}

/// What a deletion removes is counted.
pub async fn counts(checkpointer: &dyn Checkpointer) {
    let (one, two) = (fresh_word(), fresh_word());
    for thread_id in [fresh_thread(), fresh_thread()] {
        let chain = put_runs(checkpointer, &thread_id, &[&one, &one, &two]).await;
        write(checkpointer, &chain[0], "task", json!([["a", 1]])).await;
    }
    let removed = checkpointer
        .delete_for_runs(std::slice::from_ref(&one))
        .await;
    let removed = removed.unwrap();
    assert_eq!((removed.checkpoints, removed.writes), (4, 2));
    assert_eq!(removed.threads, 0);
    removed.complete().unwrap();
}
