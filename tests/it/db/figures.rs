//! What the pool tells a recorder of metrics.

use std::time::Duration;

use db::{Database, Error, GenericClient, Statement};
use futures_util::FutureExt;

use rig::{Figures, TestDb, at_every_poll, eventually};

static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);

/// What the gauges say: idle, in use, waiting.
fn gauges(figures: &Figures) -> (f64, f64, f64) {
    (
        figures.gauge("db_pool_connections", &[("state", "idle")]),
        figures.gauge("db_pool_connections", &[("state", "in_use")]),
        figures.gauge("db_pool_waiting", &[]),
    )
}

/// Waits until the gauges and the pool's state say this.
async fn settled(figures: &Figures, db: &Database, idle: u32, in_use: u32, waiting: u32) {
    eventually("the figures are right", async || {
        let state = db.state();
        let expected = (f64::from(idle), f64::from(in_use), f64::from(waiting));
        gauges(figures) == expected
            && (state.idle, state.in_use, state.waiting) == (idle, in_use, waiting)
    })
    .await;
}

#[tokio::test]
async fn the_gauges_follow_the_pool_and_callers_that_go_away() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    settled(&figures, &db, 1, 0, 0).await;
    assert_eq!(
        figures.gauge("db_pool_max_connections", &[("pool", test.schema())]),
        1.0
    );

    let connection = db.get().await.unwrap();
    settled(&figures, &db, 0, 1, 0).await;
    let mut waiter = Box::pin(db.get());
    assert!(waiter.as_mut().now_or_never().is_none());
    assert_eq!(gauges(&figures), (0.0, 1.0, 1.0));
    let dropped = [("outcome", "dropped")];
    assert_eq!(
        figures.histogram("db_pool_acquire_seconds", &dropped).len(),
        0
    );
    drop(waiter);
    assert_eq!(gauges(&figures), (0.0, 1.0, 0.0));
    assert_eq!(
        figures.histogram("db_pool_acquire_seconds", &dropped).len(),
        1
    );

    drop(connection);
    settled(&figures, &db, 1, 0, 0).await;
    let acquired = [("outcome", "acquired"), ("pool", test.schema())];
    assert_eq!(
        figures
            .histogram("db_pool_acquire_seconds", &acquired)
            .len(),
        1
    );

    db.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(gauges(&figures), (0.0, 0.0, 0.0));
    let closed = [("reason", "closed"), ("pool", test.schema())];
    assert_eq!(figures.counter("db_pool_disconnects_total", &closed), 1);
    db.get().await.unwrap_err();
    let closed = figures.histogram("db_pool_acquire_seconds", &[("outcome", "closed")]);
    assert_eq!(closed.len(), 1);
    drop(db);
    assert_eq!(figures.gauge("db_pool_max_connections", &[]), 0.0);
}

#[tokio::test]
async fn the_gauges_are_right_wherever_a_call_is_dropped() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MAX", "2")]).await;
    at_every_poll(
        async || {
            let connection = db.get().await.unwrap();
            connection.query(&PID, &[]).await.unwrap();
        },
        async || {
            eventually("what was borrowed is back", async || {
                let (idle, in_use, waiting) = gauges(&figures);
                (in_use, waiting) == (0.0, 0.0) && idle == f64::from(db.state().idle)
            })
            .await;
        },
    )
    .await;
}

#[tokio::test]
async fn time_outs_and_failures_to_connect_are_counted_by_what_they_are() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let db = test
        .connect(&[("DB_POOL_MAX", "1"), ("DB_ACQUIRE_TIMEOUT", "1s")])
        .await;
    let timeouts = || figures.histogram("db_pool_acquire_seconds", &[("outcome", "timeout")]);
    let mut lent = Vec::new();
    eventually("all are in use", async || {
        lent.extend(db.get().await);
        lent.len() == 1
    })
    .await;
    assert_eq!(timeouts().len(), 0);
    let error = db.get().await.unwrap_err();
    assert!(matches!(error, Error::AcquireTimeout { .. }));
    let waits = timeouts();
    assert!(waits.len() == 1 && waits[0] >= 1.0, "{waits:?}");

    let url = rig::url();
    let (server, _) = url.rsplit_once('/').unwrap();
    let settings = test.settings_for(&format!("{server}/nowhere"), &[]);
    Database::connect(&settings).await.unwrap_err();
    let connects = |outcome| figures.histogram("db_pool_connect_seconds", &[("outcome", outcome)]);
    assert_eq!(connects("unknown_database").len(), 1);
    assert_eq!(connects("opened").len(), 1);
}

#[tokio::test]
async fn connections_are_counted_as_closed_by_why() {
    let figures = Figures::default();
    let _recording = figures.record();
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    let disconnects = |reason| figures.counter("db_pool_disconnects_total", &[("reason", reason)]);

    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let pid: i32 = {
        let connection = db.get().await.unwrap();
        connection.query_one(&PID, &[]).await.unwrap().get(0)
    };
    observer
        .execute("SELECT pg_terminate_backend($1)", &[&pid])
        .await
        .unwrap();
    eventually("one is lost", async || disconnects("lost") == 1).await;
    settled(&figures, &db, 1, 0, 0).await;

    let connection = db.get().await.unwrap();
    let mut sleep = Box::pin(connection.batch_execute("SELECT pg_sleep(3600)"));
    assert!(sleep.as_mut().now_or_never().is_none());
    drop(sleep);
    drop(connection);
    eventually("one is discarded", async || disconnects("discarded") == 1).await;
    settled(&figures, &db, 1, 0, 0).await;
    db.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(disconnects("closed"), 1);

    let db = test.connect(&[("DB_MAX_LIFETIME", "1s")]).await;
    eventually("one is retired", async || disconnects("retired") >= 1).await;
    assert_eq!((disconnects("lost"), disconnects("discarded")), (1, 1));
    db.close(Duration::from_secs(10)).await.unwrap();
    assert_eq!(gauges(&figures), (0.0, 0.0, 0.0));
}

#[tokio::test]
async fn pools_of_one_name_add_up_and_a_recorder_may_come_late() {
    let test = TestDb::without_schema().await;
    let early = test.connect(&[]).await;
    let borrowed = early.get().await.unwrap();

    let figures = Figures::default();
    let _recording = figures.record();
    drop(borrowed);
    assert_eq!(gauges(&figures), (1.0, 0.0, 0.0));
    let late = test.connect(&[]).await;
    let _one = late.get().await.unwrap();
    let _another = early.get().await.unwrap();
    assert_eq!(gauges(&figures).1, 2.0);
}
