//! What is left of deleted threads, and for how long; and writes whose checkpoint never came.

use std::time::Duration;

use checkpointer::{
    AcquireLease, Checkpointer, DeleteThread, Error, PostgresCheckpointer, PostgresOptions, Prune,
    PruneStrategy, Removed, ThreadId,
};
use serde_json::json;

use super::step::{Step, checkpointer, large, map, thread, try_write, two};
use rig::TestDb;

/// How many marks a deletion removes.
const SWEPT_AT_ONCE: i64 = 16;

async fn count(test: &TestDb, of: &str) -> i64 {
    let sql = format!("SELECT count(*) FROM {}.{of}", test.schema());
    let observer = test.observer().await;
    observer.query_one(&sql, &[]).await.unwrap().get(0)
}

async fn delete(checkpointer: &PostgresCheckpointer, name: &str) {
    let delete = DeleteThread::new(thread(name)).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
}

/// Deletes a thread that had a checkpoint.
async fn make_mark(checkpointer: &PostgresCheckpointer, name: &str) {
    Step::first(&thread(name)).put(checkpointer).await;
    delete(checkpointer, name).await;
}

/// Makes all marks older.
async fn age(test: &TestDb, by: &str) {
    let sql = format!(
        "UPDATE {}.threads SET deleted_at = deleted_at - interval '{by}'",
        test.schema()
    );
    test.observer().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_mark_holds_nothing_of_the_thread() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("forgotten");
    let step = Step::first(&thread_id).values(json!({ "secret": large(1), "word": "secret" }));
    let address = step.metadata("word", "secret").put(&checkpointer).await;
    let written = try_write(&checkpointer, &address, "secret", &json!("secret")).await;
    written.unwrap();
    let metadata = map(json!({ "word": "secret" }));
    let set = checkpointer.set_thread_metadata(&thread_id, metadata);
    set.await.unwrap();
    delete(&checkpointer, "forgotten").await;
    for table in ["heads", "checkpoints", "chunks", "pending_writes"] {
        assert_eq!(count(&test, table).await, 0, "{table}");
    }
    assert_eq!(
        count(&test, "threads AS t WHERE t::text ~ 'secret'").await,
        0
    );
    assert_eq!(count(&test, "threads WHERE metadata = '{}'").await, 1);
}

#[tokio::test]
async fn marks_are_swept_after_30_days_and_few_at_a_time() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let old = SWEPT_AT_ONCE + 5;
    for number in 0..old {
        make_mark(&checkpointer, &format!("old {number}")).await;
    }
    Step::first(&thread("alive")).put(&checkpointer).await;
    age(&test, "29 days 23 hours").await;
    make_mark(&checkpointer, "recent").await;
    assert_eq!(count(&test, "threads").await, old + 2);

    age(&test, "2 hours").await;
    delete(&checkpointer, "recent").await;
    assert_eq!(count(&test, "threads").await, old + 2 - SWEPT_AT_ONCE);
    let nothing = Prune::new(Vec::<ThreadId>::new(), PruneStrategy::KeepLatest).unwrap();
    checkpointer
        .prune(nothing)
        .await
        .and_then(Removed::complete)
        .unwrap();
    // What is left: the one that is alive, and the mark that isn't old.
    assert_eq!(count(&test, "threads").await, 2);
    assert_eq!(count(&test, "heads").await, 1);
}

#[tokio::test]
async fn a_thread_whose_mark_is_gone_is_like_one_that_never_was() {
    let test = TestDb::without_schema().await;
    let options = PostgresOptions::default().tombstone_retention(Duration::ZERO);
    let database = test.connect(&[]).await;
    let checkpointer = options.setup(database).await.unwrap();
    let thread_id = thread("gone");
    let with = json!({ "a": large(1) });
    let step = Step::first(&thread_id).values(with.clone());
    let first = step.put(&checkpointer).await;
    delete(&checkpointer, "gone").await;
    // However short is what was chosen, a deletion that is tried again finds its mark.
    assert_eq!(count(&test, "threads").await, 1);
    age(&test, "3 minutes").await;
    delete(&checkpointer, "nobody").await;
    assert_eq!(count(&test, "threads").await, 0);

    let late = Step::after(&first).try_put(&checkpointer).await;
    assert!(matches!(late, Err(Error::ThreadDeleted { .. })), "{late:?}");
    // What the former life had stored, a client may still believe in.
    let late = Step::after(&first).without_generation().values(with);
    late.put(&checkpointer).await;
    let restored = super::step::get(&checkpointer, &late.address()).await;
    assert_eq!(restored.checkpoint.channel_values["a"], large(1));
}

#[tokio::test]
async fn a_mark_stays_for_twice_the_time_for_retries() {
    let test = TestDb::without_schema().await;
    let options = PostgresOptions::default().tombstone_retention(Duration::ZERO);
    let database = test.connect(&[("DB_RETRY_TIMEOUT", "1h")]).await;
    let checkpointer = options.setup(database).await.unwrap();
    make_mark(&checkpointer, "gone").await;
    for (by, left) in [("119 minutes", 1), ("3 minutes", 0)] {
        age(&test, by).await;
        delete(&checkpointer, "nobody").await;
        assert_eq!(count(&test, "threads").await, left);
    }
}

#[tokio::test]
async fn a_lease_keeps_a_mark_and_a_place_for_as_long_as_a_deletion_does() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    make_mark(&checkpointer, "leased").await;
    let ttl = Duration::from_secs(60 * 60);
    for name in ["leased", "place"] {
        let acquire = AcquireLease::new(thread(name), ttl).unwrap();
        checkpointer.acquire_lease(acquire).await.unwrap();
    }
    age(&test, "40 days").await;
    make_mark(&checkpointer, "other").await;
    assert_eq!(count(&test, "threads").await, 3);

    let observer = test.observer().await;
    for (lease_until, left) in [("29 days", 3), ("31 days", 1)] {
        let sql = format!(
            "UPDATE {}.threads SET lease_until = now() - interval '{lease_until}'
             WHERE lease_until IS NOT NULL",
            test.schema()
        );
        observer.batch_execute(&sql).await.unwrap();
        delete(&checkpointer, "nobody").await;
        assert_eq!(count(&test, "threads").await, left);
    }
}

#[tokio::test]
async fn a_mark_that_somebody_has_locked_holds_nobody_up() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    for name in ["locked", "free"] {
        make_mark(&checkpointer, name).await;
    }
    age(&test, "40 days").await;
    let somebody = test.observer().await;
    let sql = format!(
        "BEGIN; SELECT FROM {}.threads WHERE thread_id = 'locked' FOR SHARE",
        test.schema()
    );
    somebody.batch_execute(&sql).await.unwrap();
    delete(&checkpointer, "nobody").await;
    assert_eq!(count(&test, "threads WHERE thread_id = 'locked'").await, 1);
    assert_eq!(count(&test, "threads").await, 1);
    somebody.batch_execute("COMMIT").await.unwrap();
    delete(&checkpointer, "nobody").await;
    assert_eq!(count(&test, "threads").await, 0);
}

#[tokio::test]
async fn writes_wait_for_their_checkpoint_as_long_as_is_chosen() {
    for (waits, left) in [(None, 1), (Some(Duration::ZERO), 0)] {
        let test = TestDb::without_schema().await;
        let options = match waits {
            Some(waits) => PostgresOptions::default().orphaned_write_retention(waits),
            None => PostgresOptions::default(),
        };
        let database = test.connect(&[]).await;
        let checkpointer = options.setup(database).await.unwrap();
        let thread_id = thread("orphans");
        let orphaned = Step::first(&thread_id).address();
        let written = try_write(&checkpointer, &orphaned, "task", &json!(1)).await;
        written.unwrap();
        let first = Step::first(&thread_id).put(&checkpointer).await;
        let second = Step::after(&first).put(&checkpointer).await;
        let written = try_write(&checkpointer, &second, "task", &json!(1)).await;
        written.unwrap();
        super::removal::prune(&checkpointer, &thread_id).await;
        assert_eq!(count(&test, "pending_writes").await, left + 1);
    }
}

/// One task wrote more than a day ago, another one only now: its checkpoint may still come.
#[tokio::test]
async fn a_write_that_has_waited_for_too_long_takes_no_other_along() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("late");
    Step::first(&thread_id).put(&one).await;
    let awaited = Step::first(&thread_id).address();
    for task in ["old", "new"] {
        try_write(&one, &awaited, task, &json!(1)).await.unwrap();
    }
    let age = format!(
        "UPDATE {}.pending_writes SET written_at = now() - interval '25 hours' WHERE task_id = 'old'",
        test.schema()
    );
    test.observer().await.batch_execute(&age).await.unwrap();
    let note = format!(
        "INSERT INTO {}.unswept (thread_id) VALUES ('late')",
        test.schema()
    );
    test.observer().await.batch_execute(&note).await.unwrap();
    super::removal::prune(&one, &thread_id).await;
    let sql = format!(
        "SELECT array_agg(task_id) FROM {}.pending_writes WHERE thread_id = 'late'",
        test.schema()
    );
    let row = test.observer().await.query_one(&sql, &[]).await.unwrap();
    assert_eq!(row.get::<_, Vec<String>>(0), ["new"]);
}

/// Another program's sweep ends just before, and the one that is to follow fails.
#[tokio::test]
async fn writes_that_are_removed_without_their_checkpoint_are_noted() {
    let (test, [one, _]) = two().await;
    let thread_id = thread("noted");
    let first = Step::first(&thread_id).put(&one).await;
    Step::after(&first).put(&one).await;
    let awaited = Step::first(&thread_id).id("awaited").address();
    try_write(&one, &awaited, "task", &large(1)).await.unwrap();
    let sql = "UPDATE {schema}.pending_writes SET written_at = now() - interval '25 hours';
        CREATE FUNCTION {schema}.sweep() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN DELETE FROM {schema}.unswept; RETURN OLD; END$$;
        CREATE TRIGGER sweep BEFORE DELETE ON {schema}.pending_writes
        FOR EACH ROW EXECUTE FUNCTION {schema}.sweep();
        CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE EXCEPTION 'no'; END$$;
        CREATE TRIGGER refuse BEFORE INSERT ON {schema}.unswept FOR EACH ROW
        WHEN (current_query() LIKE '%begin_sweep%') EXECUTE FUNCTION {schema}.refuse()";
    let sql = sql.replace("{schema}", test.schema());
    test.observer().await.batch_execute(&sql).await.unwrap();
    let prune = Prune::new([&thread_id], PruneStrategy::KeepLatest).unwrap();
    let removed = one.prune(prune).await.unwrap();
    assert_eq!(removed.failed.len(), 1);
    assert_eq!(count(&test, "pending_writes").await, 0);
    assert!(super::removal::is_unswept(&test, &thread_id).await);
}

#[tokio::test]
async fn a_thread_that_is_only_leased_keeps_its_place_for_30_days_after_its_last_lease() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let lease = async || {
        let acquire = AcquireLease::new("leased", Duration::from_secs(30)).unwrap();
        checkpointer.acquire_lease(acquire).await.unwrap()
    };
    checkpointer.release_lease(&lease().await).await.unwrap();
    // It isn't released in time, and the next one takes it over.
    age(&test, "31 days").await;
    let held = lease().await;
    assert_eq!(held.number, 2);
    age(&test, "20 days").await;
    checkpointer.release_lease(&held).await.unwrap();
    age(&test, "20 days").await;
    make_mark(&checkpointer, "another").await;
    let lease = lease().await;
    assert_eq!(lease.number, 3);

    checkpointer.release_lease(&lease).await.unwrap();
    age(&test, "31 days").await;
    make_mark(&checkpointer, "yet another").await;
    assert_eq!(count(&test, "threads WHERE thread_id = 'leased'").await, 0);
}
