//! Policies on a server: beside writers, by several programs, and among many threads.

use std::env;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use checkpointer::{
    AcquireLease, CheckpointAddress, CheckpointId, Checkpointer, Error, GetTuple,
    MemoryCheckpointer, PostgresCheckpointer, PostgresOptions, Prune, PruneStrategy, Retention,
    RetentionWorker,
};
use db::Database;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::step::{Step, checkpointer, head, ids, large, thread, two};
use rig::{TestDb, eventually, settings_for, url};

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How many checkpoints a long thread has, and how many of them stay.
const LONG: i64 = 6_000;
const STAY: usize = 2_000;

/// Makes a thread of two checkpoints longer by copies of the last one.
const LONGER: &str = "
    WITH last AS (
        SELECT * FROM {schema}.checkpoints WHERE thread_id = $1 ORDER BY seq DESC LIMIT 1
    ), copies AS (
        INSERT INTO {schema}.checkpoints (thread_id, checkpoint_ns, checkpoint_id,
            parent_checkpoint_id, seq, checkpoint, channels, metadata)
        SELECT thread_id, checkpoint_ns, checkpoint_id || ' ' || lpad(n::text, 6, '0'),
            CASE n WHEN 1 THEN checkpoint_id
                ELSE checkpoint_id || ' ' || lpad((n - 1)::text, 6, '0') END,
            seq + n, checkpoint, channels, metadata
        FROM last, generate_series(1, $2::bigint) AS n
    )
    UPDATE {schema}.heads AS h
    SET checkpoint_id = last.checkpoint_id || ' ' || lpad($2::bigint::text, 6, '0'), seq = h.seq + $2::bigint
    FROM last WHERE h.thread_id = $1 AND h.checkpoint_ns = last.checkpoint_ns
    RETURNING h.checkpoint_id";

/// A thread of so many checkpoints; returns its head.
async fn long(
    test: &TestDb,
    checkpointer: &PostgresCheckpointer,
    name: &str,
    checkpoints: i64,
) -> CheckpointAddress {
    let values = json!({ "messages": large(1), "n": 1 });
    let first = Step::first(&thread(name)).values(values.clone());
    let first = first.put(checkpointer).await;
    let second = Step::after(&first).values(values).put(checkpointer).await;
    let sql = LONGER.replace("{schema}", test.schema());
    let more = checkpoints - 2;
    let observer = test.observer().await;
    let row = observer.query_one(&sql, &[&name, &more]).await.unwrap();
    second.sibling(CheckpointId::new(row.get::<_, &str>(0)).unwrap())
}

/// A program that puts one checkpoint after the other until it is told to stop. It returns how many it
/// has put, and how long the slowest put took.
fn writer(
    checkpointer: &PostgresCheckpointer,
    mut last: CheckpointAddress,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<(usize, Duration)> {
    let (checkpointer, stop) = (checkpointer.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let (mut puts, mut slowest) = (0, Duration::ZERO);
        while !stop.load(Ordering::Relaxed) {
            let values = json!({ "messages": large(puts % 3), "n": puts });
            let step = Step::after(&last).values(values).expect_head(&last);
            let began = Instant::now();
            last = step.put(&checkpointer).await;
            slowest = slowest.max(began.elapsed());
            puts += 1;
        }
        (puts, slowest)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_thread_is_pruned_in_steps_between_which_its_writer_gets_in() {
    let (test, [one, other]) = two().await;
    let last = long(&test, &one, "long", LONG).await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = writer(&other, last.clone(), &stop);
    let policy = PruneStrategy::Keep(Retention::keep_last(STAY));
    let prune = Prune::new([&last.thread_id], policy).unwrap();
    let began = Instant::now();
    let removed = one.prune(prune).await.unwrap();
    let took = began.elapsed();
    stop.store(true, Ordering::Relaxed);
    let (puts, slowest) = writer.await.unwrap();
    // What was put meanwhile displaces older ones, which the plan before it keeps.
    assert_eq!(removed.failed.len(), 0, "{removed:?}");
    assert!(
        removed.checkpoints >= LONG as u64 - STAY as u64,
        "{removed:?}"
    );
    // Under one lock a put would wait for most of that time.
    assert!(puts > 20, "{puts} puts in {took:?}");
    assert!(slowest < took / 4, "a put took {slowest:?} of {took:?}");
}

/// Threads of three checkpoints each, named in their order.
async fn threads(checkpointer: &dyn Checkpointer, count: usize) {
    for n in 0..count {
        let name = thread(&format!("thread {n:02}"));
        let mut last = Step::first(&name).put(checkpointer).await;
        for _ in 0..2 {
            last = Step::after(&last).put(checkpointer).await;
        }
    }
}

/// How many checkpoints each of those threads has.
async fn lengths(checkpointer: &dyn Checkpointer, count: usize) -> Vec<usize> {
    let mut lengths = Vec::new();
    for n in 0..count {
        let name = thread(&format!("thread {n:02}"));
        lengths.push(ids(checkpointer, &name).await.len());
    }
    lengths
}

/// A session that keeps a thread locked until it is dropped or goes on.
pub(super) async fn locking(test: &TestDb, name: &str) -> Client {
    let session = test.observer().await;
    let sql = format!(
        "BEGIN; SELECT FROM {}.threads WHERE thread_id = '{name}' FOR UPDATE",
        test.schema()
    );
    session.batch_execute(&sql).await.unwrap();
    session
}

fn keep_one() -> Retention {
    Retention::keep_last(1)
}

#[tokio::test]
async fn of_two_programs_with_the_same_policy_one_works() {
    for mode in ["session", "transaction"] {
        let test = TestDb::without_schema().await;
        let one = checkpointer(&test, &[("DB_POOL_MODE", mode)]).await;
        let other = checkpointer(&test, &[("DB_POOL_MODE", mode)]).await;
        threads(&one, 3).await;
        let lock = locking(&test, "thread 01").await;
        let at_work = tokio::spawn({
            let one = one.clone();
            async move { one.prune(Prune::due(keep_one())).await }
        });
        test.until_blocked(1).await;

        let passed_over = other.prune(Prune::due(keep_one())).await.unwrap();
        assert!(passed_over.elsewhere);
        assert_eq!((passed_over.examined, passed_over.checkpoints), (0, 0));
        // A dry run asks without a turn, and another policy has its own.
        let dry_run = other
            .prune(Prune::due(keep_one()).dry_run(true))
            .await
            .unwrap();
        assert_eq!((dry_run.examined, dry_run.checkpoints), (3, 4));
        let another = Retention::keep_last(3);
        assert!(!other.prune(Prune::due(another)).await.unwrap().elsewhere);

        lock.batch_execute("ROLLBACK").await.unwrap();
        let removed = at_work.await.unwrap().unwrap();
        assert_eq!((removed.examined, removed.checkpoints), (3, 6));
        let next = other.prune(Prune::due(keep_one())).await.unwrap();
        assert!(!next.elsewhere);
        assert_eq!(next.checkpoints, 0);
    }
}

#[tokio::test]
async fn a_call_that_is_dropped_lets_another_program_go_on_at_once() {
    let (test, [one, other]) = two().await;
    threads(&one, 3).await;
    let lock = locking(&test, "thread 01").await;
    let at_work = tokio::spawn({
        let one = one.clone();
        async move { one.prune(Prune::due(keep_one())).await }
    });
    test.until_blocked(1).await;
    at_work.abort();
    eventually("the other one may work", async || {
        let removed = other.prune(Prune::due(keep_one()).limit(0)).await;
        !removed.unwrap().elsewhere
    })
    .await;
    lock.batch_execute("ROLLBACK").await.unwrap();
    let removed = other.prune(Prune::due(keep_one())).await.unwrap();
    assert!(!removed.elsewhere);
    assert_eq!(lengths(&other, 3).await, [1; 3]);
}

/// Names the schema in which this program, started again, is a worker.
const WORKS_IN: &str = "RETENTION_TEST_WORKS_IN";

/// How many threads there are where a worker is killed, and at which one it is killed. The batch before
/// that one is whole.
const THREADS: usize = 30;
const KILLED_AT: &str = "thread 25";
const BATCH: usize = 20;

fn started_again(test: &TestDb) -> Child {
    let name = "checkpointer::retention::a_worker_that_is_killed_is_followed_by_another_program";
    Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(WORKS_IN, test.schema())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

async fn work_in(schema: &str) {
    let variables = [("DB_SCHEMA", schema), ("DB_APPLICATION_NAME", schema)];
    let settings = settings_for(&url(), &variables);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let report = checkpointer.retention([keep_one()]).run().await;
    panic!("it wasn't killed: {report:?}");
}

#[tokio::test]
async fn a_worker_that_is_killed_is_followed_by_another_program() {
    if let Ok(schema) = env::var(WORKS_IN) {
        return work_in(&schema).await;
    }
    let test = TestDb::without_schema().await;
    let other = checkpointer(&test, &[]).await;
    threads(&other, THREADS).await;
    let lock = locking(&test, KILLED_AT).await;
    let mut killed = started_again(&test);
    test.until_blocked(1).await;
    killed.kill().unwrap();
    killed.wait().unwrap();
    lock.batch_execute("ROLLBACK").await.unwrap();

    // The others wait for two minutes without a sign, which are over by this.
    let report = other.retention([keep_one()]).run().await.unwrap();
    assert_eq!((report.elsewhere, report.removed.examined), (1, 0));
    let over = format!("UPDATE {}.upkeep SET until = now()", test.schema());
    lock.batch_execute(&over).await.unwrap();

    let report = other.retention([keep_one()]).run().await.unwrap();
    assert_eq!(report.elsewhere, 0);
    assert_eq!(report.removed.examined as usize, THREADS - BATCH);
    assert_eq!(lengths(&other, THREADS).await, [1; THREADS]);
}

#[tokio::test]
async fn a_round_reports_what_failed_and_the_next_one_tries_it_again() {
    let (_test, [one, _]) = two().await;
    let checkpointers: [Arc<dyn Checkpointer>; 2] =
        [Arc::new(one), Arc::new(MemoryCheckpointer::new())];
    for checkpointer in checkpointers {
        threads(&checkpointer, 3).await;
        let lease = AcquireLease::new("thread 01", HOUR).unwrap();
        let lease = checkpointer.acquire_lease(lease).await.unwrap();
        let policy = Retention::keep_all().delete_after(Duration::ZERO);
        let worker = RetentionWorker::new(Arc::clone(&checkpointer), [policy]);
        let report = worker.run().await.unwrap();
        assert_eq!((report.removed.examined, report.removed.threads), (3, 2));
        let [failed] = &report.removed.failed[..] else {
            panic!("{report:?}");
        };
        assert_eq!(failed.thread_id.as_str(), "thread 01");
        assert!(
            matches!(failed.error, Error::LeaseHeld { .. }),
            "{failed:?}"
        );

        checkpointer.release_lease(&lease).await.unwrap();
        let report = worker.run().await.unwrap();
        assert_eq!(report.removed.threads, 1);
        assert_eq!(report.removed.failed.len(), 0);
        assert_eq!(lengths(&checkpointer, 3).await, [0; 3]);
    }
}

#[tokio::test]
async fn a_round_ends_however_many_threads_fail_again_and_again() {
    let (test, [one, _]) = two().await;
    let failing = BATCH + 1;
    threads(&one, failing).await;
    let mut leases = Vec::new();
    for n in 0..failing {
        let lease = AcquireLease::new(format!("thread {n:02}"), HOUR).unwrap();
        leases.push(one.acquire_lease(lease).await.unwrap());
    }
    let policy = Retention::keep_all().delete_after(Duration::ZERO);
    let worker = one.retention([policy]).threads_per_second(1_000);
    for _ in 0..3 {
        let report = timeout(Duration::from_secs(60), worker.run()).await;
        let failed = report.unwrap().unwrap().removed.failed;
        // One that failed in the round before is tried again, and is among those of the last hour, too.
        assert!(failed.len() >= failing, "{}", failed.len());
    }
    let failed = format!("SELECT cardinality(failed) FROM {}.upkeep", test.schema());
    let failed = test.observer().await.query_one(&failed, &[]).await.unwrap();
    assert_eq!(failed.get::<_, i32>(0) as usize, failing);
    for lease in &leases {
        one.release_lease(lease).await.unwrap();
    }
    let report = timeout(Duration::from_secs(60), worker.run()).await;
    let removed = report.unwrap().unwrap().removed;
    assert_eq!(
        (removed.threads as usize, removed.failed.len()),
        (failing, 0)
    );
}

#[tokio::test]
async fn a_head_whose_transaction_began_before_the_hour_is_found_by_the_next_round() {
    let (test, [one, _]) = two().await;
    threads(&one, 1).await;
    let pruned = one.prune(Prune::due(keep_one())).await.unwrap();
    assert_eq!(pruned.examined, 1);
    let name = thread("thread 00");
    let last = CheckpointAddress::new(&name, head(&one, &name).await.unwrap()).unwrap();
    Step::after(&last).put(&one).await;
    // As if that transaction had begun in the hour before, and ended only now.
    let long = format!(
        "UPDATE {}.heads SET updated_at = date_trunc('hour', now()) - interval '1 s'",
        test.schema()
    );
    test.observer().await.batch_execute(&long).await.unwrap();
    let pruned = one.prune(Prune::due(keep_one())).await.unwrap();
    assert_eq!((pruned.examined, pruned.checkpoints), (1, 1));
}

#[tokio::test]
async fn a_worker_tells_its_progress_and_ends_with_its_database() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[]).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    threads(&checkpointer, BATCH + 5).await;
    let (told, mut tellings) = tokio::sync::mpsc::unbounded_channel();
    let worker = checkpointer
        .retention([keep_one()])
        .threads_per_second(1000);
    let worker = worker.on_progress(move |report| {
        let _ = told.send((report.removed.examined, report.removed.checkpoints));
    });
    let handle = worker.run_every(HOUR);
    assert_eq!(tellings.recv().await, Some((20, 40)));
    assert_eq!(tellings.recv().await, Some((25, 50)));
    database.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(tellings.recv().await, None);
    handle.stop().await;
}

#[tokio::test]
async fn a_pin_that_comes_while_its_thread_is_pruned_holds() {
    let (test, [one, other]) = two().await;
    threads(&one, 1).await;
    let pinning = locking(&test, "thread 00").await;
    let at_work = tokio::spawn({
        let one = one.clone();
        async move { one.prune(Prune::due(keep_one())).await }
    });
    test.until_blocked(1).await;
    let pin = format!(
        "UPDATE {}.checkpoints SET pinned = true WHERE seq = 2; COMMIT",
        test.schema()
    );
    pinning.batch_execute(&pin).await.unwrap();
    let removed = at_work.await.unwrap().unwrap();
    assert_eq!((removed.examined, removed.checkpoints), (1, 1));
    let name = thread("thread 00");
    assert_eq!(ids(&other, &name).await.len(), 2);
    let head = other.get_tuple(GetTuple::head(&name).unwrap()).await;
    let parent = head.unwrap().unwrap().parent_address.unwrap();
    let parent = other.get_tuple(GetTuple::at(&parent)).await;
    assert!(parent.unwrap().unwrap().pinned);
}

/// Threads that changed an hour after each other, in many of the hours several, each with two
/// namespaces.
const MANY: &str = "
    INSERT INTO {schema}.threads (thread_id, has_head)
    SELECT 'thread ' || n, true FROM generate_series(1, 20000) AS n;
    INSERT INTO {schema}.heads (thread_id, checkpoint_ns, checkpoint_id, seq, updated_at)
    SELECT 'thread ' || n, ns, 'c', 1, now() - n % 2000 * interval '1 hour'
    FROM generate_series(1, 20000) AS n, unnest(ARRAY['', 'memory']) AS ns;
    ANALYZE {schema}.threads, {schema}.heads";

/// How many rows all programs have read from the tables, by themselves or by indexes.
const READ: &str = "
    SELECT (sum(seq_tup_read) + sum(idx_tup_fetch))::bigint FROM pg_stat_user_tables
    WHERE schemaname = $1 AND relname IN ('threads', 'heads', 'checkpoints', 'pending_writes')";

/// How many rows a round with a policy reads; the statistics come when its connections are closed.
async fn read_by(test: &TestDb, policy: Retention, due: u64) -> i64 {
    let observer = test.observer().await;
    let read = async || {
        let row = observer.query_one(READ, &[&test.schema()]).await.unwrap();
        row.get::<_, Option<i64>>(0).unwrap_or(0)
    };
    let before = read().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let checkpointer = PostgresOptions::default()
        .open(database.clone())
        .await
        .unwrap();
    let removed = checkpointer.prune(Prune::due(policy)).await.unwrap();
    assert_eq!(
        (removed.examined, removed.failed.len()),
        (due, 0),
        "{removed:?}"
    );
    database.close(Duration::from_secs(10)).await.unwrap();
    eventually("the statistics are there", async || read().await > before).await;
    read().await - before
}

#[tokio::test]
async fn a_round_reads_about_as_many_rows_as_are_due() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[]).await;
    PostgresCheckpointer::setup(database.clone()).await.unwrap();
    database.close(Duration::from_secs(10)).await.unwrap();
    let many = MANY.replace("{schema}", test.schema());
    let observer = test.observer().await;
    observer.batch_execute(&many).await.unwrap();

    // Ten threads an hour.
    let delete = Retention::keep_all().delete_after(1990 * HOUR);
    let deleted = read_by(&test, delete, 100).await;
    assert!(deleted < 100 * 20, "{deleted} rows for 100 threads");

    // The first round looks at all heads, and at the threads in which something may go.
    let thin = keep_one().newer_than(1000 * HOUR);
    let first = read_by(&test, thin.clone(), 0).await;
    assert!(first >= 20_000, "{first} rows");
    let changed = format!(
        "UPDATE {}.heads SET updated_at = now(), seq = 2
         WHERE checkpoint_ns = '' AND thread_id ~ '00$'",
        test.schema()
    );
    observer.batch_execute(&changed).await.unwrap();
    let next = read_by(&test, thin, 200).await;
    assert!(next < 200 * 20, "{next} rows for 200 threads");
}

/// Threads of one checkpoint each, which the server's statistics tell of.
const SMALL: &str = "
    ALTER TABLE {schema}.checkpoints SET (autovacuum_enabled = off);
    INSERT INTO {schema}.checkpoints (thread_id, checkpoint_ns, checkpoint_id, seq, checkpoint, channels, metadata)
    SELECT 'small ' || n, '', 'c', 1, '{}', '{}', '{}' FROM generate_series(1, 20000) AS n;
    ANALYZE {schema}.checkpoints";

#[tokio::test]
async fn a_prune_reads_each_checkpoint_a_few_times_however_old_the_statistics_are() {
    const CHECKPOINTS: i64 = 20_000;
    let (test, [one, _]) = two().await;
    let small = SMALL.replace("{schema}", test.schema());
    test.observer().await.batch_execute(&small).await.unwrap();
    long(&test, &one, "grown", CHECKPOINTS).await;
    let read = read_by(&test, keep_one(), 1).await;
    assert!(read < 5 * CHECKPOINTS, "{read} rows");
}

/// Chunks that a removal has left are those of a program that is at it, or of one that died. Only time
/// tells which.
#[tokio::test]
async fn what_a_removal_that_was_cut_short_has_left_is_swept_a_minute_later() {
    let test = TestDb::new().await;
    let checkpointer = checkpointer(&test, &[]).await;
    threads(&checkpointer, 1).await;
    let observer = test.observer().await;
    let run = async |sql: &str| {
        let sql = sql.replace("{schema}", test.schema());
        observer.batch_execute(&sql).await.unwrap();
    };
    run("DELETE FROM {schema}.pending_writes; DELETE FROM {schema}.heads; DELETE FROM {schema}.checkpoints;
        INSERT INTO {schema}.unswept (thread_id) SELECT thread_id FROM {schema}.threads;
        INSERT INTO {schema}.chunks SELECT thread_id, '\\x00112233445566778899aabbccddeeff', '[]', NULL
        FROM {schema}.threads")
    .await;
    let due = async || {
        let due = Prune::due(Retention::keep_last(1));
        checkpointer.prune(due).await.unwrap()
    };
    let at_once = due().await;
    assert_eq!((at_once.bytes, at_once.examined), (0, 0));
    run("UPDATE {schema}.unswept SET removed_at = removed_at - interval '61 s'").await;
    let later = due().await;
    assert!(later.bytes > 0, "{later:?}");
    assert_eq!(later.examined, 0);
    assert_eq!(due().await.bytes, 0);
}

/// A removal of runs isn't one of a policy, and its caller waits. Each thread has its turn.
#[tokio::test]
async fn a_removal_of_runs_sweeps_the_few_threads_that_have_waited_for_longest() {
    let test = TestDb::new().await;
    let checkpointer = checkpointer(&test, &[]).await;
    threads(&checkpointer, 20).await;
    let observer = test.observer().await;
    let sql = "INSERT INTO {schema}.unswept (thread_id, removed_at)
        SELECT thread_id, now() - interval '61 s' * (1 + row_number() OVER (ORDER BY thread_id))
        FROM {schema}.threads";
    let sql = sql.replace("{schema}", test.schema());
    observer.batch_execute(&sql).await.unwrap();
    let unswept = async || -> Vec<String> {
        let sql = format!("SELECT thread_id FROM {}.unswept ORDER BY 1", test.schema());
        let rows = observer.query(&sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    };
    let before = unswept().await;
    for left in [4, 0] {
        let removed = checkpointer.delete_for_runs(&[]).await.unwrap();
        assert_eq!(removed.failed.len(), 0);
        // The last ones were noted first.
        assert_eq!(unswept().await, before[..left]);
    }
}

/// Threads that can't be swept are tried again when all others had their turn, and aren't the caller's.
#[tokio::test]
async fn threads_that_cannot_be_swept_take_no_turn_of_others_and_fail_no_removal_of_runs() {
    let test = TestDb::new().await;
    let checkpointer = checkpointer(&test, &[]).await;
    threads(&checkpointer, 20).await;
    let observer = test.observer().await;
    // A plan reads this.
    let damage = "UPDATE {schema}.checkpoints SET checkpoint = checkpoint || '{\"v\": \"?\"}'
        WHERE thread_id < 'thread 16';
        INSERT INTO {schema}.unswept (thread_id, removed_at)
        SELECT thread_id, now() - interval '61 s' * (100 - row_number() OVER (ORDER BY thread_id))
        FROM {schema}.threads";
    let damage = damage.replace("{schema}", test.schema());
    observer.batch_execute(&damage).await.unwrap();
    let unswept = format!("SELECT count(*) FROM {}.unswept", test.schema());
    for left in [20, 16] {
        let removed = checkpointer.delete_for_runs(&[]).await.unwrap();
        removed.complete().unwrap();
        let row = observer.query_one(&unswept, &[]).await.unwrap();
        assert_eq!(row.get::<_, i64>(0), left);
    }
}

/// What fails by a code that another thread would meet, too, may be about one thread all the same.
#[tokio::test]
async fn a_sweep_that_always_fails_keeps_no_policy_from_being_applied() {
    let test = TestDb::new().await;
    let checkpointer = checkpointer(&test, &[("DB_RETRY_TIMEOUT", "100ms")]).await;
    // More than a worker prunes at once.
    threads(&checkpointer, 25).await;
    let refuse = "INSERT INTO {schema}.unswept VALUES ('gone', now() - interval '61 s');
        CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RAISE EXCEPTION ''too large'' USING ERRCODE = ''53200''; END';
        CREATE TRIGGER refuse BEFORE DELETE ON {schema}.unswept
        FOR EACH ROW WHEN (OLD.thread_id = 'gone') EXECUTE FUNCTION {schema}.refuse()";
    let refuse = refuse.replace("{schema}", test.schema());
    test.observer().await.batch_execute(&refuse).await.unwrap();
    let policy = Retention::keep_all().delete_after(Duration::ZERO);
    let worker = RetentionWorker::new(Arc::new(checkpointer), [policy]);
    let report = worker.run().await.unwrap();
    let removed = report.removed;
    assert_eq!(
        (removed.threads, removed.failed.len()),
        (25, 1),
        "{removed:?}"
    );
}

#[tokio::test]
async fn a_round_sweeps_however_many_threads_are_noted() {
    let test = TestDb::new().await;
    let checkpointer = checkpointer(&test, &[]).await;
    // More than are found at once. Of what nothing is known, nothing is left either.
    let note = "INSERT INTO {schema}.unswept
        SELECT 'gone ' || n, now() - interval '61 s' FROM generate_series(1, 1001) AS n";
    let note = note.replace("{schema}", test.schema());
    let observer = test.observer().await;
    observer.batch_execute(&note).await.unwrap();
    let removed = checkpointer.prune(Prune::due(keep_one())).await.unwrap();
    removed.complete().unwrap();
    let unswept = format!("SELECT count(*) FROM {}.unswept", test.schema());
    let row = observer.query_one(&unswept, &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 0);
}

/// A change has the time at which its transaction began, which may be long before others see it.
#[tokio::test]
async fn a_round_that_only_deletes_looks_at_what_was_committed_late() {
    let test = TestDb::new().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let due = async || {
        let policy = Retention::keep_all().delete_after(1000 * HOUR);
        checkpointer.prune(Prune::due(policy)).await.unwrap()
    };
    assert_eq!(due().await.threads, 0);
    threads(&checkpointer, 1).await;
    let sql = format!(
        "UPDATE {}.heads SET updated_at = now() - interval '1000 hours 59 minutes'",
        test.schema()
    );
    test.observer().await.batch_execute(&sql).await.unwrap();
    assert_eq!(due().await.threads, 1);
}
