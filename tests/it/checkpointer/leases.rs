//! Leases beside each other, in shared transactions, and over connections that lose answers.

use std::time::{Duration, SystemTime};

use checkpointer::{
    AcquireLease, CheckpointAddress, Checkpointer, Error, GetTuple, Lease, List,
    PostgresCheckpointer, PutWrites, Result, TaskId, ThreadId,
};
use db::Database;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde_json::json;

use super::step::{Step, checkpointer, get, head, ids, large, thread, two, values};
use rig::{TcpProxy, TestDb};

/// How long a lease lasts whose time isn't over in a test.
const LONG: Duration = Duration::from_secs(60 * 60);

async fn acquire(checkpointer: &dyn Checkpointer, thread_id: &ThreadId, ttl: Duration) -> Lease {
    let acquired = checkpointer.acquire_lease(AcquireLease::new(thread_id, ttl).unwrap());
    acquired.await.unwrap()
}

/// A checkpointer in transaction mode behind a proxy: nothing of a lease is in the session, and
/// each message holds its statement's text.
async fn behind(proxy: &TcpProxy) -> PostgresCheckpointer {
    let test = TestDb::without_schema().await;
    let settings = test.settings_through(proxy, &[("DB_POOL_MODE", "transaction")]);
    let database = Database::connect(&settings).await.unwrap();
    PostgresCheckpointer::setup(database).await.unwrap()
}

#[tokio::test]
async fn writes_that_were_fenced_off_fail_alone_in_a_shared_transaction() {
    const THREADS: usize = 24;
    let (test, proxy) = (TestDb::new().await, TcpProxy::new());
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    let mut runs = Vec::new();
    for number in 0..THREADS {
        let thread_id = thread(&format!("thread {number}"));
        let first = Step::first(&thread_id).put(&checkpointer).await;
        let lease = acquire(&checkpointer, &thread_id, Duration::ZERO).await;
        if number % 4 == 1 {
            // Taken by another.
            acquire(&checkpointer, &thread_id, LONG).await;
        }
        runs.push((first, lease));
    }
    // All others are held by the run itself; the last quarter is free.
    let step = |number: usize| {
        let (first, lease) = &runs[number];
        let step = Step::after(first).values(json!({ "a": large(number) }));
        match number % 4 {
            3 => step,
            _ => step.lease(lease),
        }
    };
    let steps: Vec<_> = (0..THREADS).map(step).collect();
    let before = proxy.round_trips();
    let puts = join_all(steps.iter().map(|step| step.try_put(&checkpointer))).await;
    let puts_took = proxy.round_trips() - before;
    let task = TaskId::new("task").unwrap();
    let writes = [("a".to_owned(), json!(1))];
    let all_writes = runs.iter().enumerate().map(|(number, (first, lease))| {
        let mut put = PutWrites::new(first, &task, &writes);
        put.lease = (number % 4 != 3).then_some(lease);
        checkpointer.put_writes(put)
    });
    let written = join_all(all_writes).await;
    for (number, (put, written)) in puts.into_iter().zip(written).enumerate() {
        let first = &runs[number].0;
        let stored = ids(&checkpointer, &first.thread_id).await.len();
        let pending = get(&checkpointer, first).await.pending_writes.len();
        if number % 4 == 1 {
            assert!(matches!(put, Err(Error::LeaseLost { .. })), "{put:?}");
            assert!(
                matches!(written, Err(Error::LeaseLost { .. })),
                "{written:?}"
            );
            assert_eq!((stored, pending), (1, 0));
        } else {
            put.unwrap();
            written.unwrap();
            assert_eq!((stored, pending), (2, 1));
        }
    }
    // One for most of them; those that were fenced off are sent alone and looked at.
    assert!(puts_took < 2 * THREADS, "{puts_took} round trips");
}

#[tokio::test]
async fn a_write_that_carries_a_lease_is_one_round_trip() {
    let (test, proxy) = (TestDb::new().await, TcpProxy::new());
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let database = Database::connect(&settings).await.unwrap();
    let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
    // The first time statements are prepared as well.
    for round in 0..2 {
        let thread_id = thread(&format!("thread {round}"));
        let mut taken = Vec::new();
        let mut since = proxy.round_trips();
        let mut took = || {
            let now = proxy.round_trips();
            taken.push(now - since);
            since = now;
        };
        let lease = acquire(&checkpointer, &thread_id, LONG).await;
        took();
        let first = Step::first(&thread_id).lease(&lease);
        let first = first.put(&checkpointer).await;
        took();
        let second = Step::after(&first).expect_head(&first).lease(&lease);
        second.put(&checkpointer).await;
        took();
        let lease = checkpointer.renew_lease(&lease, LONG).await.unwrap();
        took();
        checkpointer.release_lease(&lease).await.unwrap();
        took();
        if round == 1 {
            assert_eq!(taken, [1, 1, 1, 1, 1]);
        }
    }
}

#[tokio::test]
async fn calls_whose_answers_are_lost_take_effect_once() {
    let proxy = TcpProxy::new();
    let checkpointer = behind(&proxy).await;
    let thread_id = thread("lost answers");
    proxy.cut_instead_of_answer_to("checkpointer::acquire_lease");
    let lease = acquire(&checkpointer, &thread_id, LONG).await;
    assert_eq!(lease.number, 1);
    proxy.cut_instead_of_answer_to("checkpointer::put");
    let first = Step::first(&thread_id).expect_no_head().lease(&lease);
    let first = first.put(&checkpointer).await;
    proxy.cut_instead_of_answer_to("checkpointer::renew_lease");
    let renewed = checkpointer.renew_lease(&lease, LONG).await.unwrap();
    assert_eq!((renewed.number, &renewed.token), (1, &lease.token));
    let second = Step::after(&first).lease(&lease).put(&checkpointer).await;
    proxy.cut_instead_of_answer_to("checkpointer::release_lease");
    checkpointer.release_lease(&renewed).await.unwrap();
    Step::after(&second).put(&checkpointer).await;
    assert_eq!(ids(&checkpointer, &thread_id).await.len(), 3);
    let next = acquire(&checkpointer, &thread_id, LONG).await;
    assert_eq!(next.number, 2);
}

#[tokio::test]
async fn a_write_that_waited_for_the_thread_sees_who_holds_the_lease_by_then() {
    let (test, [checkpointer, other]) = two().await;
    let mut writes = Vec::new();
    for (name, by) in [
        ("known", &checkpointer),
        ("unknown", &other),
        ("known, leased", &checkpointer),
        ("unknown, leased", &other),
    ] {
        let thread_id = thread(name);
        let first = Step::first(&thread_id).put(&checkpointer).await;
        let is_leased = name.ends_with("leased");
        // No more than what a foreign front knows, which takes no look first.
        let step = Step::after(&first).without_generation();
        let step = match is_leased {
            true => step.lease(&acquire(&checkpointer, &thread_id, LONG).await),
            false => step,
        };
        writes.push((is_leased, step, by.clone()));
    }
    let somebody = test.observer().await;
    let sql = format!(
        "BEGIN; UPDATE {}.threads
         SET lease_token = 'somebody', lease_until = now() + interval '1 hour'",
        test.schema()
    );
    somebody.batch_execute(&sql).await.unwrap();
    let count = writes.len();
    let puts = writes.into_iter().map(|(is_leased, step, by)| {
        tokio::spawn(async move { (is_leased, step.try_put(&by).await) })
    });
    let puts: Vec<_> = puts.collect();
    test.until_blocked(count as i64).await;
    somebody.batch_execute("COMMIT").await.unwrap();
    for put in puts {
        let (is_leased, refusal) = put.await.unwrap();
        match refusal {
            Err(Error::LeaseHeld { .. }) => assert!(!is_leased),
            Err(Error::LeaseLost { .. }) => assert!(is_leased),
            other => panic!("{other:?}"),
        }
    }
    let listed = checkpointer.list(List::all());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    assert_eq!(listed.len(), count);
}

/// Works on a thread as long as the others do, in turns: takes a lease, reads what is there and
/// adds one, without any other guard. How long it holds its lease is chance, and none is fine.
async fn worker(
    checkpointer: PostgresCheckpointer,
    thread_id: ThreadId,
    turns: usize,
) -> Vec<CheckpointAddress> {
    let mut stored = Vec::new();
    while stored.len() < turns {
        let ttl = match fastrand::u8(..3) {
            0 => Duration::ZERO,
            1 => Duration::from_millis(fastrand::u64(..10)),
            _ => LONG,
        };
        match turn(&checkpointer, &thread_id, ttl).await {
            Ok(address) => stored.push(address),
            Err(Error::LeaseHeld { .. } | Error::LeaseLost { .. }) => {
                tokio::task::yield_now().await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
    stored
}

async fn turn(
    checkpointer: &PostgresCheckpointer,
    thread_id: &ThreadId,
    ttl: Duration,
) -> Result<CheckpointAddress> {
    let acquire = AcquireLease::new(thread_id, ttl).unwrap();
    let lease = checkpointer.acquire_lease(acquire).await?;
    let head = checkpointer
        .get_tuple(GetTuple::head(thread_id).unwrap())
        .await?;
    let step = match &head {
        Some(head) => {
            let count = values(head)["count"].as_u64().unwrap();
            Step::after(&head.address).values(json!({ "count": count + 1 }))
        }
        None => Step::first(thread_id).values(json!({ "count": 1 })),
    };
    let stored = step.lease(&lease).try_put(checkpointer).await;
    checkpointer.release_lease(&lease).await?;
    stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whoever_holds_the_lease_builds_on_what_was_there_when_it_was_taken() {
    const WORKERS: usize = 6;
    const TURNS: usize = 15;
    let (_test, checkpointers) = two().await;
    let thread_id = thread("in turns");
    let workers = (0..WORKERS).map(|number| {
        let checkpointer = checkpointers[number % 2].clone();
        tokio::spawn(worker(checkpointer, thread_id.clone(), TURNS))
    });
    let workers = join_all(workers.collect::<Vec<_>>()).await;
    let mut stored: Vec<_> = workers
        .into_iter()
        .flat_map(|worker| worker.unwrap())
        .map(|address| address.checkpoint_id)
        .collect();

    // Not one was lost, and no two followed the same one.
    let listed = checkpointers[0].list(List::thread(&thread_id).unwrap());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    let mut counts: Vec<_> = listed
        .iter()
        .map(|tuple| values(tuple)["count"].as_u64().unwrap())
        .collect();
    counts.sort_unstable();
    assert_eq!(counts, (1..=(WORKERS * TURNS) as u64).collect::<Vec<_>>());
    let mut found = ids(&checkpointers[1], &thread_id).await;
    found.sort_unstable();
    stored.sort_unstable();
    assert_eq!(found, stored);
    let last = head(&checkpointers[1], &thread_id).await;
    let of_last = listed
        .iter()
        .find(|tuple| Some(&tuple.checkpoint.id) == last.as_ref());
    let count = (WORKERS * TURNS) as u64;
    assert_eq!(values(of_last.unwrap())["count"], json!(count));
}

/// A session that has changed a thread and hasn't committed, so that the next call waits for it.
async fn changing(test: &TestDb, sql: &str) -> tokio_postgres::Client {
    let somebody = test.observer().await;
    let sql = sql.replace("{schema}", test.schema());
    let begun = somebody.batch_execute(&format!("BEGIN; {sql}")).await;
    begun.unwrap();
    somebody
}

#[tokio::test]
async fn of_two_who_take_a_lease_that_is_over_one_is_told_until_when_the_other_has_it() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let thread_id = thread("over");
    acquire(&checkpointer, &thread_id, Duration::ZERO).await;
    let before = SystemTime::now();
    let other = changing(
        &test,
        "UPDATE {schema}.threads SET lease_token = 'other', lease_until = now() + interval '1 hour'",
    )
    .await;
    let second = tokio::spawn(async move {
        let acquire = AcquireLease::new(&thread_id, LONG).unwrap();
        checkpointer.acquire_lease(acquire).await
    });
    test.until_blocked(1).await;
    other.batch_execute("COMMIT").await.unwrap();
    let refused = second.await.unwrap();
    assert!(
        matches!(&refused, Err(Error::LeaseHeld { until, .. }) if *until > before),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_lease_in_a_row_is_whole_or_none() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    acquire(&checkpointer, &thread("leased"), LONG).await;
    let observer = test.observer().await;
    for column in ["lease_token", "lease_until"] {
        let sql = format!("UPDATE {}.threads SET {column} = NULL", test.schema());
        let error = observer.batch_execute(&sql).await.unwrap_err();
        assert_eq!(error.code(), Some(&db::SqlState::CHECK_VIOLATION));
    }
}

#[tokio::test]
async fn a_copy_says_what_came_to_its_target_meanwhile() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let source = thread("source");
    Step::first(&source).put(&checkpointer).await;
    for (name, place, expected) in [
        (
            "leased",
            "(thread_id, deleted_at, lease_token, lease_until) \
             VALUES ('leased', now(), 'other', now() + interval '1 hour')",
            "thread `leased` is leased to another program",
        ),
        (
            "over",
            "(thread_id, deleted_at, lease_token, lease_until) VALUES ('over', now(), 'other', now())",
            "",
        ),
        (
            "made",
            "(thread_id) VALUES ('made')",
            "thread `made` exists already",
        ),
    ] {
        let somebody = changing(&test, &format!("INSERT INTO {{schema}}.threads {place}")).await;
        let copying = tokio::spawn({
            let (checkpointer, source) = (checkpointer.clone(), source.clone());
            async move { checkpointer.copy_thread(&source, &thread(name)).await }
        });
        test.until_blocked(1).await;
        somebody.batch_execute("COMMIT").await.unwrap();
        match copying.await.unwrap() {
            Ok(()) => assert_eq!(expected, ""),
            Err(error) => {
                let text = error.to_string();
                assert!(!expected.is_empty() && text.starts_with(expected), "{text}");
            }
        }
    }
}
