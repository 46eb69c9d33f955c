//! Removals, and what comes between their plan and the lock of the thread, or waits for that lock.

use std::time::Duration;

use checkpointer::{
    CheckpointAddress, Checkpointer, DeletedThreads, Error, List, PostgresCheckpointer,
    PostgresOptions, Prune, PruneStrategy, Removed, Retention, ThreadId,
};
use futures_util::TryStreamExt;
use rig::TestDb;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::removal::{check_heads, delete_run, prune, rows};
use super::retention::locking;
use super::step::{Step, get, head, large, thread, try_write, two, values};

/// Begins a prune, and returns once it is planned: with the lock of the thread, for which it waits.
async fn planned(
    test: &TestDb,
    checkpointer: &PostgresCheckpointer,
    thread_id: &ThreadId,
    keep: Retention,
) -> (Client, JoinHandle<checkpointer::Result<Removed>>) {
    let locked = locking(test, thread_id.as_str()).await;
    let checkpointer = checkpointer.clone();
    let prune = Prune::new(vec![thread_id.clone()], PruneStrategy::Keep(keep)).unwrap();
    let pruning = tokio::spawn(async move { checkpointer.prune(prune).await });
    test.until_blocked(1).await;
    (locked, pruning)
}

/// Two removals are planned before either removes anything. The second one removes the head, and what
/// was to follow it the first one has removed.
#[tokio::test]
async fn what_was_to_become_the_head_may_be_removed_by_another_program() {
    for rest in [0, 1] {
        let (test, [one, other]) = two().await;
        let thread_id = thread("two removals");
        let of_run = |step: Step, run: &str| step.metadata("run_id", run);
        let mut last = of_run(Step::first(&thread_id), "a").put(&one).await;
        for run in ["b", "c"] {
            last = of_run(Step::after(&last), run).put(&one).await;
        }
        let locked = locking(&test, thread_id.as_str()).await;
        // Removes what comes before the head, or a part of that.
        let first = tokio::spawn({
            let (one, thread_id) = (one.clone(), thread_id.clone());
            async move {
                match rest {
                    0 => prune(&one, &thread_id).await,
                    _ => delete_run(&one, "b").await,
                }
            }
        });
        test.until_blocked(1).await;
        let second = tokio::spawn(async move { delete_run(&other, "c").await });
        test.until_blocked(2).await;
        locked.batch_execute("COMMIT").await.unwrap();
        first.await.unwrap();
        second.await.unwrap();
        check_heads(&test).await;
        assert_eq!(rows(&test, &thread_id).await, [rest, rest, 0, 0]);
    }
}

/// The plan keeps the last two of three checkpoints. When the removal gets the thread, the third one was
/// never put.
#[tokio::test]
async fn a_removal_plans_again_on_a_server_that_was_behind() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("failed over");
    let mut last = Step::first(&thread_id).put(&one).await;
    for _ in 0..2 {
        last = Step::after(&last).put(&one).await;
    }
    let (locked, pruning) = planned(&test, &one, &thread_id, Retention::keep_last(2)).await;
    let restore = format!(
        "DELETE FROM {schema}.checkpoints WHERE seq = 3;
         UPDATE {schema}.heads AS h SET checkpoint_id = c.checkpoint_id, seq = 2
         FROM {schema}.checkpoints AS c WHERE c.seq = 2;
         COMMIT",
        schema = test.schema()
    );
    locked.batch_execute(&restore).await.unwrap();
    let removed = pruning.await.unwrap().unwrap();
    assert_eq!(removed.checkpoints, 0);
    removed.complete().unwrap();
    check_heads(&test).await;
    assert_eq!(rows(&test, &thread_id).await, [1, 2, 0, 0]);
}

/// The standby lacks what the plan takes for the last two checkpoints. More than two were put there since, of
/// which the newest has a parent that the plan doesn't know.
#[tokio::test]
async fn a_removal_plans_again_on_a_server_that_was_behind_and_has_gone_on() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("gone on");
    let mut last = Step::first(&thread_id).put(&one).await;
    for _ in 0..3 {
        last = Step::after(&last).put(&one).await;
    }
    let (locked, pruning) = planned(&test, &one, &thread_id, Retention::keep_last(1)).await;
    let restore = format!(
        "DELETE FROM {schema}.checkpoints WHERE seq > 2;
         INSERT INTO {schema}.checkpoints
             (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
              checkpoint, channels, metadata)
         SELECT thread_id, checkpoint_ns, 'new' || n,
             CASE n WHEN 3 THEN checkpoint_id ELSE 'new' || n - 1 END, n,
             checkpoint, channels, metadata
         FROM {schema}.checkpoints, generate_series(3, 5) AS n WHERE seq = 2;
         UPDATE {schema}.heads SET checkpoint_id = 'new5', seq = 5;
         COMMIT",
        schema = test.schema()
    );
    locked.batch_execute(&restore).await.unwrap();
    pruning.await.unwrap().unwrap().complete().unwrap();
    check_heads(&test).await;
    assert_eq!(rows(&test, &thread_id).await, [1, 1, 0, 0]);
    assert_eq!(parents(&one, &thread_id).await, [None]);
}

/// The parents of what is left.
async fn parents(
    one: &PostgresCheckpointer,
    thread_id: &ThreadId,
) -> Vec<Option<CheckpointAddress>> {
    let listed: Vec<_> = (one
        .list(List::thread(thread_id).unwrap())
        .try_collect()
        .await)
        .unwrap();
    listed
        .into_iter()
        .map(|tuple| tuple.parent_address)
        .collect()
}

/// The removal is cut short once some of the root graph's checkpoints are gone.
#[tokio::test]
async fn calls_of_subgraphs_go_with_their_roots_however_a_removal_ends() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("calls");
    let mut last: Option<CheckpointAddress> = None;
    for n in 0..150 {
        let step = match &last {
            Some(last) => Step::after(last),
            None => Step::first(&thread_id),
        };
        let root = step.put(&one).await;
        let parents = json!({ "": root.checkpoint_id.as_str() });
        let call = Step::first(&thread_id).in_ns(&format!("call:{n}"));
        call.metadata("parents", parents).put(&one).await;
        last = Some(root);
    }
    let schema = test.schema();
    let stop = format!(
        "CREATE FUNCTION {schema}.stop() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE 'stopped'; END $$;
         CREATE TRIGGER stop BEFORE DELETE ON {schema}.checkpoints FOR EACH ROW
         WHEN (OLD.checkpoint_ns = '' AND OLD.seq = 1) EXECUTE FUNCTION {schema}.stop()"
    );
    let observer = test.observer().await;
    observer.batch_execute(&stop).await.unwrap();
    let keep = || Prune::new(vec![thread_id.clone()], PruneStrategy::KeepLatest).unwrap();
    let stopped = one.prune(keep()).await.unwrap();
    assert!(stopped.checkpoints > 0);
    assert_eq!(stopped.failed.len(), 1);

    let go_on = format!("DROP TRIGGER stop ON {schema}.checkpoints");
    observer.batch_execute(&go_on).await.unwrap();
    prune(&one, &thread_id).await;
    assert_eq!(rows(&test, &thread_id).await, [2, 2, 0, 0]);
}

/// The put has seen its parent before it waits, and gets the thread once that is gone.
#[tokio::test]
async fn a_fork_that_waited_for_the_removal_of_its_parent_is_refused() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("forked");
    let kept = json!({ "kept": 1 });
    let parent = Step::first(&thread_id).values(kept).put(&one).await;
    let last = Step::after(&parent).put(&one).await;
    let locked = locking(&test, thread_id.as_str()).await;
    let fork = Step::after(&parent).versions(json!({ "kept": parent.checkpoint_id.as_str() }));
    let forking = tokio::spawn({
        let one = one.clone();
        async move { fork.try_put(&one).await }
    });
    test.until_blocked(1).await;
    let remove = format!(
        "DELETE FROM {}.checkpoints WHERE seq = 1; COMMIT",
        test.schema()
    );
    locked.batch_execute(&remove).await.unwrap();
    let refused = forking.await.unwrap();
    assert!(
        matches!(refused, Err(Error::ParentNotFound { .. })),
        "{refused:?}"
    );
    assert_eq!(head(&one, &thread_id).await, Some(last.checkpoint_id));
}

/// The put has seen its parent before it waits, and gets the thread once that is deleted with all chunks.
#[tokio::test]
async fn a_put_that_waited_for_a_deletion_takes_nothing_from_its_parent() {
    let (test, [one, _]) = two().await;
    let options = PostgresOptions::default()
        .deleted_threads(DeletedThreads::Forgotten)
        .cache_bytes(0);
    let other = options.open(test.connect(&[]).await).await.unwrap();
    let thread_id = thread("deleted meanwhile");
    let kept = json!({ "kept": large(1) });
    let parent = Step::first(&thread_id).values(kept).put(&one).await;
    let locked = locking(&test, thread_id.as_str()).await;
    let child = Step::after(&parent)
        .without_generation()
        .versions(json!({ "kept": parent.checkpoint_id.as_str() }))
        .empty_without_its_parent();
    let putting = tokio::spawn({
        let other = other.clone();
        async move { child.try_put(&other).await }
    });
    test.until_blocked(1).await;
    let tables = ["heads", "checkpoints", "chunks"];
    let delete = tables.map(|table| format!("DELETE FROM {}.{table};", test.schema()));
    let delete = format!(
        "{} UPDATE {}.threads
         SET generation = generation + 1, gc = gc + 1, has_head = false, deleted_at = now();
         COMMIT",
        delete.concat(),
        test.schema()
    );
    locked.batch_execute(&delete).await.unwrap();
    let address = putting.await.unwrap().unwrap();
    assert_eq!(values(&get(&other, &address).await), json!({}));
}

/// What the plan found to be over belongs to a thread that is gone. The one that was started again has a
/// namespace of that name, whose first checkpoint is still to come.
#[tokio::test]
async fn a_removal_leaves_the_writes_of_a_thread_that_was_started_again() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("again");
    let root = Step::first(&thread_id).put(&one).await;
    let parents = json!({ "": root.checkpoint_id.as_str() });
    let call = Step::first(&thread_id).in_ns("call:1");
    call.metadata("parents", parents).put(&one).await;
    Step::after(&root).put(&one).await;
    let (locked, pruning) = planned(&test, &one, &thread_id, Retention::keep_last(1)).await;
    let again = format!(
        "DELETE FROM {schema}.heads; DELETE FROM {schema}.checkpoints;
         UPDATE {schema}.threads SET generation = generation + 1, gc = gc + 1;
         INSERT INTO {schema}.pending_writes
             (thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, value)
         VALUES ('again', 'call:1', 'to come', 'task', 0, '', 'n', '1');
         COMMIT",
        schema = test.schema()
    );
    locked.batch_execute(&again).await.unwrap();
    pruning.await.unwrap().unwrap().complete().unwrap();
    assert_eq!(rows(&test, &thread_id).await, [0, 0, 0, 1]);
}

/// The first step takes only what belongs to a root graph's checkpoint. Before it gets the thread, a fork of that
/// checkpoint comes, which is rebuilt from it: so it stays, and with it the call.
#[tokio::test]
async fn a_call_stays_whose_root_has_come_to_be_needed() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("needed again");
    let root = Step::first(&thread_id).put(&one).await;
    try_write(&one, &root, "task", &json!(1)).await.unwrap();
    let parents = json!({ "": root.checkpoint_id.as_str() });
    let mut last: Option<CheckpointAddress> = None;
    for _ in 0..120 {
        let step = match &last {
            Some(last) => Step::after(last),
            None => Step::first(&thread_id).in_ns("call:1"),
        };
        last = Some(step.metadata("parents", parents.clone()).put(&one).await);
    }
    let age = format!(
        "UPDATE {}.checkpoints SET put_at = now() - interval '1 day' WHERE checkpoint_ns = ''",
        test.schema()
    );
    test.observer().await.batch_execute(&age).await.unwrap();
    Step::after(&root).put(&one).await;

    let keep = Retention::keep_last(1).newer_than(Duration::from_secs(3600));
    let (locked, pruning) = planned(&test, &one, &thread_id, keep).await;
    let fork = format!(
        "INSERT INTO {schema}.checkpoints
             (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq,
              checkpoint, channels, metadata)
         SELECT thread_id, checkpoint_ns, 'fork', checkpoint_id, 3,
             jsonb_set(checkpoint, '{{channel_versions}}', '{{\"written\": 1}}'), channels, metadata
         FROM {schema}.checkpoints WHERE checkpoint_ns = '' AND seq = 1;
         UPDATE {schema}.heads SET checkpoint_id = 'fork', seq = 3 WHERE checkpoint_ns = '';
         COMMIT",
        schema = test.schema()
    );
    locked.batch_execute(&fork).await.unwrap();
    let removed = pruning.await.unwrap().unwrap();
    assert_eq!(removed.checkpoints, 0);
    removed.complete().unwrap();
    assert_eq!(rows(&test, &thread_id).await, [2, 123, 0, 1]);
}
