//! Threads with many chunks: what goes of them goes in steps, beside writers and programs that die.

use std::env;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, GetTuple, PostgresCheckpointer, Prune,
    PruneStrategy, Removed, Retention, ThreadId,
};
use db::Database;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::step::{Step, checkpointer, get, head, large, thread, try_write, two};
use rig::{TestDb, eventually, settings_for, url};

/// Chunks of 2 kB that can't be compressed much, beside those that a thread has.
const MORE_CHUNKS: &str = "
    INSERT INTO {schema}.chunks (thread_id, hash, content)
    SELECT $1, decode(md5(n::text), 'hex'), to_jsonb(ARRAY['former', n::text, noise])
    FROM generate_series(1, $2::bigint) AS n, (
        SELECT string_agg(md5(part::text), '') AS noise FROM generate_series(1, 64) AS part
    ) AS same";

async fn make_huge(test: &TestDb, thread_id: &ThreadId, chunks: i64) {
    let sql = MORE_CHUNKS.replace("{schema}", test.schema());
    let client = test.observer().await;
    let inserted = client.execute(&sql, &[&thread_id.as_str(), &chunks]).await;
    assert_eq!(inserted.unwrap(), chunks as u64);
}

/// How many rows of a table belong to a thread and meet a condition.
async fn count(test: &TestDb, table: &str, thread_id: &ThreadId, condition: &str) -> i64 {
    let schema = test.schema();
    let sql =
        format!("SELECT count(*) FROM {schema}.{table} WHERE thread_id = $1 AND ({condition})");
    let client = test.observer().await;
    let row = client.query_one(&sql, &[&thread_id.as_str()]).await;
    row.unwrap().get(0)
}

/// How many chunks of a thread are left of those that it was made huge by.
async fn former(test: &TestDb, thread_id: &ThreadId) -> i64 {
    count(test, "chunks", thread_id, "content -> 0 = '\"former\"'").await
}

async fn delete(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) {
    let delete = DeleteThread::new(thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
}

/// Deletes all threads, by a policy.
async fn delete_all(checkpointer: &dyn Checkpointer) -> Removed {
    let policy = Retention::keep_all().delete_after(Duration::ZERO);
    checkpointer.prune(Prune::due(policy)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_starts_a_thread_again_doesnt_wait_until_its_100_mb_are_gone() {
    const CHUNKS: i64 = 50_000;
    let (test, [one, other]) = two().await;
    let thread_id = thread("huge");
    let values = |n: usize| json!({ "messages": large(n % 3), "n": n });
    for n in 0..3 {
        Step::first(&thread_id).values(values(n)).put(&other).await;
    }
    make_huge(&test, &thread_id, CHUNKS).await;

    let is_over = Arc::new(AtomicBool::new(false));
    let deletion = tokio::spawn({
        let is_over = Arc::clone(&is_over);
        async move {
            let began = Instant::now();
            let removed = delete_all(&one).await;
            is_over.store(true, Ordering::Relaxed);
            (removed, began.elapsed())
        }
    });
    eventually("the thread is deleted", async || {
        head(&other, &thread_id).await.is_none()
    })
    .await;
    let (mut last, mut put, mut slowest): (Option<CheckpointAddress>, _, _) =
        (None, Vec::new(), Duration::ZERO);
    while !is_over.load(Ordering::Relaxed) {
        let step = match &last {
            Some(last) => Step::after(last).expect_head(last),
            None => Step::first(&thread_id),
        };
        let began = Instant::now();
        let address = step.values(values(put.len())).put(&other).await;
        slowest = slowest.max(began.elapsed());
        put.push(address.clone());
        last = Some(address);
    }
    let (removed, took) = deletion.await.unwrap();
    assert_eq!(
        (removed.threads, removed.failed.len()),
        (1, 0),
        "{removed:?}"
    );
    assert!(removed.bytes > 90_000_000, "{removed:?}");
    // Under one lock a put would wait for most of that time.
    assert!(put.len() > 10, "{} puts in {took:?}", put.len());
    assert!(slowest < took / 4, "a put took {slowest:?} of {took:?}");

    // Of the former generation nothing is left, and of this one all.
    assert_eq!(former(&test, &thread_id).await, 0);
    assert_eq!(count(&test, "unswept", &thread_id, "true").await, 0);
    for (n, address) in put.iter().enumerate() {
        let stored = get(&other, address).await.checkpoint.channel_values;
        assert_eq!(Value::from(stored), values(n));
    }
}

/// Names the schema and the thread to this program, started again to delete the thread.
const DELETES_IN: &str = "HUGE_THREAD_TEST_DELETES_IN";
const DELETES: &str = "HUGE_THREAD_TEST_DELETES";

fn started_again(test: &TestDb, thread_id: &ThreadId) -> Child {
    let name = "checkpointer::huge_threads::a_deletion_that_is_killed_half_way_is_gone_on_with";
    Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(DELETES_IN, test.schema())
        .env(DELETES, thread_id.as_str())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn delete_in(schema: &str) {
    let variables = [("DB_SCHEMA", schema), ("DB_APPLICATION_NAME", schema)];
    let settings = settings_for(&url(), &variables);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    delete(&checkpointer, &thread(&env::var(DELETES).unwrap())).await;
    panic!("it wasn't killed");
}

/// Locks the chunk that goes last.
async fn lock_last_chunk(test: &TestDb, thread_id: &ThreadId) -> Client {
    let session = test.observer().await;
    let sql = format!(
        "BEGIN; SELECT FROM {}.chunks WHERE thread_id = '{thread_id}'
         ORDER BY hash DESC LIMIT 1 FOR UPDATE",
        test.schema()
    );
    session.batch_execute(&sql).await.unwrap();
    session
}

/// Lets a minute pass for what was left.
async fn age(test: &TestDb) {
    let sql = format!(
        "UPDATE {}.unswept SET removed_at = removed_at - interval '61 s'",
        test.schema()
    );
    test.observer().await.batch_execute(&sql).await.unwrap();
}

#[tokio::test]
async fn a_deletion_that_is_killed_half_way_is_gone_on_with() {
    if let Ok(schema) = env::var(DELETES_IN) {
        return delete_in(&schema).await;
    }
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let (gone, again) = (thread("gone"), thread("started again"));
    for thread_id in [&gone, &again] {
        let step = Step::first(thread_id).values(json!({ "a": large(1) }));
        let first = step.put(&checkpointer).await;
        make_huge(&test, thread_id, 2_500).await;
        let lock = lock_last_chunk(&test, thread_id).await;
        let mut killed = started_again(&test, thread_id);
        test.until_blocked(1).await;
        killed.kill().unwrap();
        killed.wait().unwrap();
        lock.batch_execute("ROLLBACK").await.unwrap();

        // It is deleted, but for chunks that nothing shows.
        // A step of a thousand is done; on a slow machine the next one would have taken the rest.
        let left = former(&test, thread_id).await;
        assert!(0 < left && left < 2_000, "{left} of {thread_id}");
        assert_eq!(head(&checkpointer, thread_id).await, None);
        let read = checkpointer.get_tuple(GetTuple::at(&first)).await;
        assert_eq!(read.unwrap(), None);
        assert_eq!(checkpointer.thread_info(thread_id).await.unwrap(), None);
    }

    // The next deletion of any thread goes on with one; with the other, which has begun again, a round.
    let step = Step::first(&again).values(json!({ "a": large(1), "b": large(2) }));
    let address = step.put(&checkpointer).await;
    age(&test).await;
    delete(&checkpointer, &thread("another")).await;
    eventually("what was left of the deleted thread is gone", async || {
        count(&test, "unswept", &gone, "true").await == 0
    })
    .await;
    assert_eq!(count(&test, "chunks", &gone, "true").await, 0);
    assert!(former(&test, &again).await > 0);

    let round = checkpointer
        .prune(Prune::due(Retention::keep_last(1)))
        .await;
    assert!(round.unwrap().bytes > 0);
    assert_eq!(former(&test, &again).await, 0);
    assert_eq!(count(&test, "unswept", &again, "true").await, 0);
    let stored = get(&checkpointer, &address).await.checkpoint;
    assert_eq!(stored.channel_values["b"], large(2));
}

#[tokio::test]
async fn a_tombstone_stays_as_long_as_chunks_are_left_of_its_thread() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("old");
    Step::first(&thread_id).put(&checkpointer).await;
    delete(&checkpointer, &thread_id).await;
    let sql = "UPDATE {schema}.threads SET deleted_at = now() - interval '40 days';
        INSERT INTO {schema}.unswept (thread_id) VALUES ('old')";
    let sql = sql.replace("{schema}", test.schema());
    test.observer().await.batch_execute(&sql).await.unwrap();
    for (unswept, tombstones) in [(1, 1), (0, 1), (0, 0)] {
        delete(&checkpointer, &thread("another")).await;
        eventually("it is swept if it is time", async || {
            count(&test, "unswept", &thread_id, "true").await == unswept
        })
        .await;
        assert_eq!(
            count(&test, "threads", &thread_id, "true").await,
            tombstones
        );
        age(&test).await;
    }
}

/// A program may rely on a chunk that nothing refers to any more, as long as it is stored.
#[tokio::test]
async fn a_sweep_leaves_what_was_referred_to_since_it_looked() {
    let (test, [one, other]) = two().await;
    let thread_id = thread("swept");
    let first = Step::first(&thread_id).values(json!({ "a": [large(1), large(2)] }));
    let first = first.put(&other).await;
    let second = Step::after(&first).values(json!({ "a": [large(3), large(4)], "b": large(5) }));
    let second = second.put(&other).await;
    let third = Step::after(&second).values(json!({ "n": 3 }));
    let last = third.put(&other).await;

    // As a removal leaves it that was cut short.
    let sql = "DELETE FROM {schema}.checkpoints WHERE seq < 3;
        UPDATE {schema}.checkpoints SET parent_checkpoint_id = NULL;
        INSERT INTO {schema}.unswept VALUES ('swept', now() - interval '61 s')";
    let sql = sql.replace("{schema}", test.schema());
    test.observer().await.batch_execute(&sql).await.unwrap();
    // The sweep waits for its first step; writers don't.
    let lock = test.observer().await;
    let share = format!("BEGIN; SELECT FROM {}.threads FOR SHARE", test.schema());
    lock.batch_execute(&share).await.unwrap();
    let sweeping = tokio::spawn({
        let one = one.clone();
        async move { one.prune(Prune::due(Retention::keep_all())).await }
    });
    test.until_blocked(1).await;

    // A new checkpoint, new content for one that is there, and a pending write.
    let values = json!({ "a": [large(1), large(2)] });
    let new = Step::after(&last).values(values.clone()).put(&other).await;
    let replaced = json!({ "a": [large(3), large(4)] });
    third.clone().values(replaced.clone()).put(&other).await;
    try_write(&other, &new, "task", &large(5)).await.unwrap();
    lock.batch_execute("ROLLBACK").await.unwrap();
    sweeping.await.unwrap().unwrap().complete().unwrap();

    for checkpointer in [&one, &other] {
        let stored = get(checkpointer, &new).await;
        let state = Value::from(stored.checkpoint.channel_values);
        assert_eq!(state, values);
        assert_eq!(*stored.pending_writes[0].value, large(5));
        let stored = get(checkpointer, &last).await.checkpoint.channel_values;
        assert_eq!(Value::from(stored), replaced);
    }
}

/// What nothing refers to is found in time that grows with what is compared, not with its square, also where
/// the planner expects much of it.
#[tokio::test]
async fn what_a_removal_would_leave_of_many_chunks_is_counted_in_time() {
    const CHUNKS: i64 = 100_000;
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[("DB_STATEMENT_TIMEOUT", "10s")]).await;
    let thread_id = thread("huge");
    let mut last = Step::first(&thread_id).put(&checkpointer).await;
    for n in 0..200 {
        let step = Step::after(&last).values(json!({ "a": large(n), "b": large(n + 1) }));
        last = step.put(&checkpointer).await;
    }
    make_huge(&test, &thread_id, CHUNKS).await;
    let schema = test.schema();
    let analyze = format!("ANALYZE {schema}.checkpoints, {schema}.chunks");
    test.observer().await.batch_execute(&analyze).await.unwrap();

    let prune = Prune::new([thread_id.clone()], PruneStrategy::KeepLatest).unwrap();
    let removed = checkpointer.prune(prune.dry_run(true)).await.unwrap();
    assert_eq!((removed.checkpoints, removed.failed.len()), (200, 0));
    assert!(removed.bytes > CHUNKS as u64 * 100, "{removed:?}");
}
