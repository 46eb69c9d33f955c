//! Removals, and what comes between their plan and the lock of the thread, or waits for that lock.

use checkpointer::{
    CheckpointAddress, Checkpointer, DeletedThreads, Error, List, PostgresCheckpointer,
    PostgresOptions, Prune, PruneStrategy, Retention, ThreadId,
};
use futures_util::TryStreamExt;
use serde_json::json;

use super::removal::{check_heads, delete_run, prune, rows};
use super::retention::locking;
use super::step::{Step, get, head, large, thread, two, values};

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
    let locked = locking(&test, thread_id.as_str()).await;
    let keep = PruneStrategy::Keep(Retention::keep_last(2));
    let prune = Prune::new(vec![thread_id.clone()], keep).unwrap();
    let pruning = tokio::spawn(async move { one.prune(prune).await });
    test.until_blocked(1).await;
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
    let locked = locking(&test, thread_id.as_str()).await;
    let pruning = tokio::spawn({
        let (one, thread_id) = (one.clone(), thread_id.clone());
        async move { prune(&one, &thread_id).await }
    });
    test.until_blocked(1).await;
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
    pruning.await.unwrap();
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
