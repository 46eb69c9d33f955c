//! Statements that are cancelled through the pooler.

use std::time::Duration;

use db::{Error, GenericClient, Statement, Type};
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use rig::{Release, eventually};
use tokio_postgres::Client;

use super::{PATIENT, Pooled};

static LONG: Statement = Statement::new("-- tests::long\nSELECT pg_sleep(3600)", &[]);
static SLEEP: Statement = Statement::new("SELECT pg_sleep($1)", &[Type::FLOAT8]);

async fn is_running(observer: &Client) -> bool {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE state = 'active' AND query LIKE '-- tests::long%'";
    let count: i64 = observer.query_one(sql, &[]).await.unwrap().get(0);
    count > 0
}

async fn a_statement_that_takes_too_long_is_cancelled_through_a_pooler(release: Release) {
    let pooled = Pooled::start(release, 1).await;
    let db = pooled.connect(&[("DB_STATEMENT_TIMEOUT", "100ms")]).await;
    // More often than once: the pooler forgets most requests that aren't waited for.
    for _ in 0..10 {
        let error = db.get().await.unwrap().query(&LONG, &[]).await.unwrap_err();
        assert!(matches!(error, Error::StatementTimeout { .. }), "{error:?}");
    }
    let observer = pooled.observer().await;
    eventually("nothing is left running", async || {
        !is_running(&observer).await
    })
    .await;
}

async fn a_statement_whose_future_was_dropped_is_cancelled_through_a_pooler(release: Release) {
    let pooled = Pooled::start(release, 1).await;
    let db = pooled.connect(&PATIENT).await;
    let observer = pooled.observer().await;
    for _ in 0..5 {
        let connection = db.get().await.unwrap();
        let mut call = Box::pin(connection.query(&LONG, &[]));
        let sent = async || {
            assert!((&mut call).now_or_never().is_none());
            is_running(&observer).await
        };
        eventually("the statement runs", sent).await;
        drop(call);
        drop(connection);
        eventually("the statement was cancelled", async || {
            !is_running(&observer).await
        })
        .await;
    }
    // The only connection to the server serves others again.
    let after = db.get().await.unwrap();
    after.query(&SLEEP, &[&0_f64]).await.unwrap();
}

async fn a_close_that_does_not_wait_cancels_through_a_pooler(release: Release) {
    let pooled = Pooled::start(release, 1).await;
    let db = pooled.connect(&PATIENT).await;
    let observer = pooled.observer().await;
    let connection = db.get().await.unwrap();
    let call = tokio::spawn(async move { connection.query(&LONG, &[]).await });
    eventually("the statement runs", async || is_running(&observer).await).await;
    let closed = db.close(Duration::ZERO).await.unwrap_err();
    assert!(
        matches!(closed, Error::StillInUse { in_use: 1, .. }),
        "{closed:?}"
    );
    assert!(call.await.unwrap().unwrap_err().is_outcome_unknown());
    eventually("the statement was cancelled", async || {
        !is_running(&observer).await
    })
    .await;
}

async fn a_cancel_request_hits_no_statement_of_another_client(release: Release) {
    let pooled = Pooled::start(release, 2).await;
    // Many of their requests come when the statement is about to end by itself.
    let hasty = pooled
        .connect(&[
            ("DB_POOL_MAX", "8"),
            ("DB_STATEMENT_TIMEOUT", "20ms"),
            ("DB_ACQUIRE_TIMEOUT", "2min"),
        ])
        .await;
    let patient = pooled.connect(&PATIENT).await;
    let mut cancelled = 0;
    for _ in 0..10 {
        let hasty = (0..8).map(async |n| {
            let seconds = 0.015 + 0.005 * f64::from(n);
            let connection = hasty.get().await.unwrap();
            connection.query(&SLEEP, &[&seconds]).await.is_err()
        });
        let patient = (0..8).map(async |_| {
            let connection = patient.get().await.unwrap();
            connection.query(&SLEEP, &[&0.01]).await.unwrap();
        });
        let (hasty, _) = tokio::join!(join_all(hasty), join_all(patient));
        cancelled += hasty.iter().filter(|cancelled| **cancelled).count();
    }
    assert!(cancelled > 0);
}

through_each_release!(
    a_statement_that_takes_too_long_is_cancelled_through_a_pooler,
    a_statement_whose_future_was_dropped_is_cancelled_through_a_pooler,
    a_close_that_does_not_wait_cancels_through_a_pooler,
    a_cancel_request_hits_no_statement_of_another_client,
);
