//! What is tried again, and for how long.

use std::cell::Cell;
use std::time::{Duration, Instant};

use db::{Database, Error, GenericClient, Statement};
use expect_test::expect;
use futures_util::FutureExt;
use rig::{TcpProxy, TestDb, chain, timeless};
use tokio_util::sync::CancellationToken;

static ONE: Statement = Statement::new("-- tests::one\nSELECT 1::int8", &[]);

/// What would take an hour if it weren't ended.
const SOON: Duration = Duration::from_secs(30);

const FOR_AN_HOUR: [(&str, &str); 3] = [
    ("DB_RETRY_TIMEOUT", "1h"),
    ("DB_RETRY_PAUSE", "1h"),
    ("DB_RETRY_ATTEMPTS", "10000"),
];

/// Has the server refuse a statement.
async fn refused(db: &Database, code: &str) -> db::Result<()> {
    let sql = format!("DO $$ BEGIN RAISE 'no' USING ERRCODE = '{code}'; END $$");
    db.get().await?.batch_execute(&sql).await
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_the_rest_is_not() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_RETRY_PAUSE", "1ms")]).await;
    let (attempts, retries) = (Cell::new(0), std::sync::Mutex::new(Vec::new()));
    let noted = |error: &Error| {
        let code = error.code().unwrap().code().to_owned();
        retries.lock().unwrap().push(code);
    };
    let retry = db.retry("test").on_retry(&noted);
    let attempt = || async {
        attempts.set(attempts.get() + 1);
        match attempts.get() {
            1..4 => refused(&db, "40001").await,
            _ => Ok(()),
        }
    };
    retry.run(attempt).await.unwrap();
    assert_eq!(attempts.get(), 4);
    assert_eq!(*retries.lock().unwrap(), ["40001", "40001", "40001"]);

    attempts.set(0);
    let attempt = || async {
        attempts.set(attempts.get() + 1);
        refused(&db, "23505").await
    };
    let error = db.retry("test").run(attempt).await.unwrap_err();
    assert_eq!((attempts.get(), error.code().unwrap().code()), (1, "23505"));
}

#[tokio::test]
async fn an_unknown_outcome_stays_unknown() {
    let (test, proxy) = (TestDb::without_schema().await, TcpProxy::new());
    let db = Database::connect(&test.settings_through(&proxy, &[]))
        .await
        .unwrap();
    proxy.cut_instead_of_answer_to("tests::one");
    let attempts = Cell::new(0);
    let attempt = || async {
        attempts.set(attempts.get() + 1);
        match attempts.get() {
            1 => db.get().await?.execute(&ONE, &[]).await.map(|_| ()),
            _ => refused(&db, "23505").await,
        }
    };
    let error = db.retry("test").run(attempt).await.unwrap_err();
    assert_eq!(attempts.get(), 2);
    assert!(error.is_outcome_unknown(), "{}", chain(&error));
}

#[tokio::test]
async fn a_wait_for_a_connection_is_not_begun_again() {
    let test = TestDb::without_schema().await;
    let variables = [("DB_POOL_MAX", "1"), ("DB_ACQUIRE_TIMEOUT", "1s")];
    let db = test.connect(&variables).await;
    // A task of its own, as a server has for each request.
    let waiting = tokio::spawn(async move {
        let started = Instant::now();
        let waited_for_itself = db
            .transaction(async |_| -> db::Result<()> {
                let ping = || async { db.get().await?.execute(&ONE, &[]).await };
                db.retry("test").run(ping).await?;
                Ok(())
            })
            .await;
        (waited_for_itself.unwrap_err(), started.elapsed())
    });
    let (error, after) = waiting.await.unwrap();
    assert!(after < Duration::from_secs(10), "{after:?}");
    assert!(matches!(error, Error::AcquireTimeout { by_caller: 1, .. }));
    expect![[r#"
        no connection became free within TIME: 1 of 1 are in use, 1 of them by this very task, which waits for itself
    "#]]
    .assert_eq(&timeless(&error));
}

#[tokio::test]
async fn a_token_and_a_close_cut_the_time_for_retries_short() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&FOR_AN_HOUR).await;
    let closing = CancellationToken::new();
    let started = Instant::now();
    let attempt = || refused(&db, "40001");
    let again = |_: &Error| closing.cancel();
    let retry = db.retry("test").cut_short_by(&closing).on_retry(&again);
    assert!(retry.run(attempt).await.unwrap_err().is_transient());

    let mut retrying = Box::pin(db.retry("test").run(attempt));
    assert!((&mut retrying).now_or_never().is_none());
    let (retried, closed) = tokio::join!(retrying, db.close(SOON));
    retried.unwrap_err();
    closed.unwrap();
    assert!(started.elapsed() < SOON);
}
