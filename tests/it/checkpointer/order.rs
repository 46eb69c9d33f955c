//! The order of calls on one thread, and what a close waits for.

use std::cell::RefCell;
use std::time::Duration;

use checkpointer::{CheckpointAddress, Checkpointer, DeleteThread, Error, List, ThreadId};
use futures_util::{FutureExt, TryStreamExt};
use serde_json::json;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::step::{Step, checkpointer, get, ids, large, thread, try_write, two};
use rig::{TestDb, at_every_poll};

const LONG: Duration = Duration::from_secs(60);

/// Locks a thread as a transaction of another program might, until it commits.
async fn lock(test: &TestDb, thread_id: &ThreadId) -> Client {
    let client = test.observer().await;
    client.batch_execute("BEGIN").await.unwrap();
    let sql = format!(
        "SELECT FROM {}.threads WHERE thread_id = $1 FOR UPDATE",
        test.schema()
    );
    let rows = client.query(&sql, &[&thread_id.as_str()]).await.unwrap();
    assert_eq!(rows.len(), 1);
    client
}

/// How many writes of a checkpoint are durable.
async fn durable(test: &TestDb, address: &CheckpointAddress) -> i64 {
    let sql = format!(
        "SELECT count(*) FROM {}.pending_writes WHERE thread_id = $1 AND checkpoint_id = $2",
        test.schema()
    );
    let (thread_id, id) = (address.thread_id.as_str(), address.checkpoint_id.as_str());
    let observer = test.observer().await;
    let count = observer.query_one(&sql, &[&thread_id, &id]).await;
    count.unwrap().get(0)
}

#[tokio::test]
async fn a_write_dropped_before_a_put_is_never_durable_after_it() {
    let (test, [checkpointer, other]) = two().await;
    let last = RefCell::new(Step::first(&thread("order")).put(&checkpointer).await);
    let mut round = 0;
    let seen = RefCell::new(Vec::new());
    at_every_poll(
        async || {
            round += 1;
            let address = last.borrow().clone();
            let written = try_write(&checkpointer, &address, "task", &large(round)).await;
            written.unwrap();
        },
        async || {
            let address = last.borrow().clone();
            let next = Step::after(&address).put(&checkpointer).await;
            let count = durable(&test, &address).await;
            seen.borrow_mut().push((address, count));
            last.replace(next);
        },
    )
    .await;
    // Whatever still ran has ended.
    checkpointer.close().await.unwrap();
    for (address, count) in seen.take() {
        assert_eq!(durable(&test, &address).await, count);
        let tuple = get(&other, &address).await;
        assert_eq!(tuple.pending_writes.len() as i64, count);
    }
}

#[tokio::test]
async fn a_put_waits_for_a_write_that_was_dropped_on_the_server() {
    let (test, [checkpointer, _]) = two().await;
    let thread_id = thread("waits");
    let address = Step::first(&thread_id).put(&checkpointer).await;
    let locked = lock(&test, &thread_id).await;
    let written = tokio::spawn({
        let (checkpointer, address) = (checkpointer.clone(), address.clone());
        async move { try_write(&checkpointer, &address, "task", &large(1)).await }
    });
    test.until_blocked(1).await;
    written.abort();
    let _ = written.await;
    let put = tokio::spawn({
        let (checkpointer, step) = (checkpointer.clone(), Step::after(&address));
        async move { step.try_put(&checkpointer).await }
    });
    // A later write doesn't overtake the put either.
    let late = tokio::spawn({
        let (checkpointer, address) = (checkpointer.clone(), address.clone());
        async move { try_write(&checkpointer, &address, "late", &json!(1)).await }
    });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!put.is_finished() && !late.is_finished());
    locked.batch_execute("COMMIT").await.unwrap();
    put.await.unwrap().unwrap();
    let tasks = get(&checkpointer, &address).await.pending_writes;
    assert!(tasks.iter().any(|write| write.task_id.as_str() == "task"));
    late.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_list_holds_no_connection_between_polls() {
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[("DB_POOL_MAX", "1")]).await;
    let mut last = Step::first(&thread("pool of one")).put(&checkpointer).await;
    for n in 0..70 {
        let step = Step::after(&last).values(json!({ "n": n }));
        last = step.put(&checkpointer).await;
    }
    let mut listed = checkpointer.list(List::thread(&last.thread_id).unwrap());
    let mut count = 0;
    while let Some(tuple) = listed.try_next().await.unwrap() {
        assert_eq!(get(&checkpointer, &tuple.address).await, tuple);
        if count % 20 == 0 {
            let task = format!("task {count}");
            let written = try_write(&checkpointer, &last, &task, &json!(1)).await;
            written.unwrap();
        }
        count += 1;
    }
    assert_eq!(count, 71);
}

#[tokio::test]
async fn closing_waits_for_writes_under_way_and_refuses_those_in_line() {
    let (test, [checkpointer, other]) = two().await;
    let thread_id = thread("closing");
    let address = Step::first(&thread_id).put(&checkpointer).await;
    let locked = lock(&test, &thread_id).await;
    let first = Step::after(&address).values(json!({ "a": large(1) }));
    let second = Step::after(&address).values(json!({ "a": large(2) }));
    let puts = [&first, &second].map(|step| {
        let (checkpointer, step) = (checkpointer.clone(), step.clone());
        tokio::spawn(async move { step.try_put(&checkpointer).await })
    });
    test.until_blocked(1).await;
    let mut closing = checkpointer.close();
    assert!(closing.as_mut().now_or_never().is_none());
    let late = Step::after(&address).try_put(&checkpointer).await;
    assert!(matches!(late, Err(Error::Closed)), "{late:?}");
    assert!(closing.as_mut().now_or_never().is_none());

    locked.batch_execute("COMMIT").await.unwrap();
    closing.await.unwrap();
    assert_eq!(ids(&other, &thread_id).await.len(), 2);
    let [sent, in_line] = puts;
    sent.await.unwrap().unwrap();
    let in_line = in_line.await.unwrap();
    assert!(matches!(in_line, Err(Error::Closed)), "{in_line:?}");
}

#[tokio::test]
async fn a_close_does_not_wait_for_a_deletion_that_is_done_and_not_polled() {
    let (_test, [checkpointer, other]) = two().await;
    let thread_id = thread("deleted");
    Step::first(&thread_id).put(&checkpointer).await;
    let delete = DeleteThread::new(&thread_id).unwrap();
    let mut deletion = checkpointer.delete_thread(delete);
    // From now on a task deletes the thread, and this future isn't polled any more.
    assert!(deletion.as_mut().now_or_never().is_none());
    let closed = timeout(LONG, checkpointer.close()).await;
    closed.expect("the close waits for nothing").unwrap();
    assert!(ids(&other, &thread_id).await.is_empty());
}
