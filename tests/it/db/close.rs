//! Closing a pool.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use db::{Database, Error, GenericClient, Statement};
use expect_test::expect;
use futures_util::FutureExt;

use rig::{TestDb, chain, eventually};

const LONG: Duration = Duration::from_secs(60);
static SLEEP: Statement = Statement::new("SELECT pg_sleep(60)", &[]);

#[tokio::test]
async fn close_waits_for_borrowed_connections() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    let connection = db.get().await.unwrap();
    let mut close = Box::pin(db.close(LONG));
    assert!(close.as_mut().now_or_never().is_none());
    // The borrower isn't disturbed.
    connection.batch_execute("SELECT 1").await.unwrap();
    assert!(close.as_mut().now_or_never().is_none());
    drop(connection);
    let started = Instant::now();
    close.await.unwrap();
    assert!(started.elapsed() < LONG / 2);
    let observer = test.observer().await;
    eventually("the server has closed all", async || {
        test.backends(&observer, "true").await == 0
    })
    .await;
    let state = db.state();
    assert!(state.closed);
    assert_eq!((state.connections, state.in_use, state.waiting), (0, 0, 0));
}

#[tokio::test]
async fn close_ends_at_its_deadline_and_says_how_many_connections_were_in_use() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    let sleeping = db.get().await.unwrap();
    let _idle = db.get().await.unwrap();
    let query = tokio::spawn(async move { sleeping.query(&SLEEP, &[]).await });
    let observer = test.observer().await;
    eventually("the query runs", async || {
        test.backends(&observer, "state = 'active'").await == 1
    })
    .await;
    let error = db.close(Duration::from_millis(100)).await.unwrap_err();
    assert!(
        matches!(error, Error::StillInUse { in_use: 2, waited, .. } if waited.as_millis() == 100),
        "{error:?}"
    );
    let error = query.await.unwrap().unwrap_err();
    assert!(error.is_outcome_unknown(), "{}", chain(&error));
    eventually("the server has ended the query too", async || {
        test.backends(&observer, "true").await == 0
    })
    .await;
}

#[tokio::test]
async fn no_connection_is_acquired_or_waited_for_once_a_close_has_begun() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let connection = db.get().await.unwrap();
    let mut waiting = Box::pin(db.get());
    assert!(waiting.as_mut().now_or_never().is_none());
    let mut close = Box::pin(db.close(LONG));
    assert!(close.as_mut().now_or_never().is_none());
    assert!(matches!(waiting.await, Err(Error::Closed)));
    assert!(matches!(db.get().await, Err(Error::Closed)));
    assert!(matches!(db.ping().await, Err(Error::Closed)));

    // A close that is dropped stays begun, and another finishes it.
    drop(close);
    assert!(matches!(db.get().await, Err(Error::Closed)));
    drop(connection);
    db.close(LONG).await.unwrap();
    db.close(LONG).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_given_back_after_its_runtime_has_ended() {
    let test = TestDb::without_schema().await;
    let settings = test.settings(&[]);
    let (db, borrowed) = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let db = Database::connect(&settings).await.unwrap();
            let clean = db.get().await.unwrap();
            let dirty = db.get().await.unwrap();
            dirty.batch_execute("BEGIN").await.unwrap();
            (db, [clean, dirty])
        })
    })
    .join()
    .unwrap();
    std::thread::spawn(move || drop(borrowed)).join().unwrap();
    assert_eq!(db.state().in_use, 0);
}

#[tokio::test]
async fn a_lost_connection_is_given_back_outside_of_any_runtime_and_replaced_within_its_own() {
    let test = TestDb::without_schema().await;
    let db = test
        .connect(&[("DB_POOL_MIN", "1"), ("DB_POOL_MAX", "1")])
        .await;
    let connection = db.get().await.unwrap();
    let observer = test.observer().await;
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    observer.execute(kill, &[&test.schema()]).await.unwrap();
    eventually("the connection is lost", async || {
        test.backends(&observer, "true").await == 0
    })
    .await;
    std::thread::spawn(move || drop(connection)).join().unwrap();
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_deadline_that_no_clock_reaches_is_none() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    db.close(Duration::MAX).await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_dropped_leaves_no_connection_behind() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MIN", "3")]).await;
    db.ping().await.unwrap();
    drop(db);
    let observer = test.observer().await;
    eventually("the server has closed all", async || {
        test.backends(&observer, "true").await == 0
    })
    .await;
}

/// Depends on the database, and finishes its work before a close.
struct Dependent {
    db: Database,
    finished: AtomicBool,
}

impl Dependent {
    fn new(db: &Database) -> Arc<Self> {
        Arc::new(Self {
            db: db.clone(),
            finished: AtomicBool::new(false),
        })
    }

    async fn finish(&self) -> db::Result<()> {
        self.db.ping().await?;
        self.finished.store(true, Ordering::Relaxed);
        Ok(())
    }
}

#[tokio::test]
async fn what_depends_on_the_database_finishes_before_it_closes() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    let (dependent, gone) = (Dependent::new(&db), Dependent::new(&db));
    db.before_close(&dependent, |dependent| async move {
        Ok(dependent.finish().await?)
    });
    db.before_close(&gone, |_| async { Err("it is gone".into()) });
    drop(gone);
    db.close(LONG).await.unwrap();
    assert!(dependent.finished.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_close_reports_what_could_not_finish() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    let dependent = Dependent::new(&db);
    db.before_close(&dependent, |_| async { Err("the disk is full".into()) });
    db.before_close(&dependent, |_| pending());
    let error = db.close(Duration::from_millis(300)).await.unwrap_err();
    let Error::Unfinished { others, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(others.len(), 1);
    expect![[r#"
        closed, but something that depends on the database could not finish its work
        the disk is full
    "#]]
    .assert_eq(&chain(&error));
    expect!["it wasn't done within 300.0ms"].assert_eq(&others[0].to_string());
    assert!(db.state().closed);
    assert!(matches!(db.get().await, Err(Error::Closed)));
}
