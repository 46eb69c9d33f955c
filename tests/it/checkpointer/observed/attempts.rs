//! Attempts: what is counted and logged when one fails.

use std::pin::pin;

use futures_util::future::join_all;
use futures_util::poll;
use rig::{Figures, Spans, TestDb, eventually};
use serde_json::json;

use super::{SECRET, ended, refuse};
use crate::checkpointer::step::{Step, checkpointer, get, thread, try_write};

#[tokio::test]
async fn a_failure_that_passes_is_a_second_attempt() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[("DB_RETRY_PAUSE", "1ms")]).await;
    let address = Step::first(&thread("refused")).put(&checkpointer).await;
    refuse(&test, "40001", 1).await;
    try_write(&checkpointer, &address, "task", &json!(SECRET))
        .await
        .unwrap();
    let seen = ended(&spans, "put_writes");
    assert_eq!(
        (&*seen.fields["attempts"], &*seen.fields["outcome"]),
        ("2", "ok")
    );
    assert_eq!(ended(&spans, "put").fields["attempts"], "1");
    let retries =
        |operation| figures.counter("checkpointer_retries_total", &[("operation", operation)]);
    assert_eq!((retries("put_writes"), retries("put")), (1, 0));
    let events = spans.all();
    let again = events.iter().find(|seen| {
        seen.fields
            .get("message")
            .is_some_and(|message| message == "trying again")
    });
    let again = again.unwrap();
    assert_eq!(again.within, Some("put_writes"));
    assert_eq!(
        again.fields["error"],
        "`checkpointer::put_writes` failed: db error: no, says the test (40001)"
    );
}

#[tokio::test]
async fn a_failure_for_good_is_logged_with_its_cause_and_without_the_row() {
    let spans = Spans::default();
    let _watching = spans.watch();
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let address = Step::first(&thread("refused")).put(&checkpointer).await;
    refuse(&test, "23514", 1).await;
    let error = try_write(&checkpointer, &address, "task", &json!(SECRET))
        .await
        .unwrap_err();
    assert!(
        rig::chain(&error).contains(SECRET),
        "the error itself has the detail"
    );
    let events = spans.all();
    let given_up = events.iter().find(|seen| {
        seen.fields
            .get("message")
            .is_some_and(|message| message == "giving up")
    });
    assert_eq!(
        given_up.unwrap().fields["error"],
        "`checkpointer::put_writes` failed: db error: no, says the test (23514)"
    );
    let seen = ended(&spans, "put_writes");
    assert_eq!(
        (&*seen.fields["attempts"], &*seen.fields["outcome"]),
        ("1", "database")
    );
}

#[tokio::test]
async fn a_killed_backend_is_a_retry() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let first = Step::first(&thread("killed")).put(&checkpointer).await;
    let observer = test.observer().await;
    let lock = format!(
        "BEGIN; LOCK TABLE {}.checkpoints IN EXCLUSIVE MODE",
        test.schema()
    );
    observer.batch_execute(&lock).await.unwrap();
    let step = Step::after(&first);
    let kill = async {
        let killer = test.observer().await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE application_name = $1 AND wait_event_type = 'Lock'";
        let schema = test.schema();
        eventually("the put waits, and is killed", async || {
            killer.execute(sql, &[&schema]).await.unwrap() > 0
        })
        .await;
        observer.batch_execute("ROLLBACK").await.unwrap();
    };
    tokio::join!(step.put(&checkpointer), kill);
    assert_eq!(
        figures.counter("checkpointer_retries_total", &[("operation", "put")]),
        1
    );
    assert_eq!(spans.named("put")[1].fields["attempts"], "2");
    assert_eq!(
        figures.counter("db_pool_disconnects_total", &[("reason", "lost")]),
        1
    );
}

#[tokio::test]
async fn a_batch_that_fails_is_an_attempt_of_each_of_its_writes() {
    let (figures, spans) = (Figures::default(), Spans::default());
    let (_recording, _watching) = (figures.record(), spans.watch());
    let test = TestDb::without_schema().await;
    let checkpointer = checkpointer(&test, &[]).await;
    let address = Step::first(&thread("shared")).put(&checkpointer).await;
    refuse(&test, "23514", 1).await;
    let value = json!(1);
    let tasks = ["one", "two", "three"];
    let writes = tasks.map(|task| try_write(&checkpointer, &address, task, &value));
    // While another call is at work, none of them is sent by itself.
    let mut read = pin!(get(&checkpointer, &address));
    assert!(poll!(read.as_mut()).is_pending());
    for outcome in join_all(writes).await {
        outcome.unwrap();
    }
    read.await;
    let sizes = figures.histogram("checkpointer_batch_writes", &[]);
    assert_eq!(sizes, [1.0, 3.0]);
    let retries = [("operation", "put_writes")];
    assert_eq!(figures.counter("checkpointer_retries_total", &retries), 3);
    for seen in spans.named("put_writes") {
        assert_eq!(seen.fields["attempts"], "2");
    }
}
