//! A pool that is used from other runtimes than the one in which it was connected.

use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake};
use std::thread;
use std::time::Duration;

use db::{Database, Error, GenericClient, Statement};
use futures_util::FutureExt;
use rig::{TestDb, chain, eventually};
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

static ONE: Statement = Statement::new("SELECT 1::int8", &[]);
static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);
static SLEEP: Statement = Statement::new("SELECT pg_sleep(60)", &[]);

const LONG: Duration = Duration::from_secs(30);

/// A runtime without timers and sockets of its own.
fn bare() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

/// A runtime with timers and sockets of its own.
fn whole() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Waits for a future without any runtime.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Thread(thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Thread(thread::current())).into();
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return done;
        }
        thread::park();
    }
}

/// What a worker does: a short call, a transaction, and a call that it gives up.
async fn work(db: &Database) {
    let mut connection = db.get().await.unwrap();
    connection.query_one(&ONE, &[]).await.unwrap();
    let one = connection
        .transaction(async |tx| tx.query_one(&ONE, &[]).await)
        .await
        .unwrap();
    assert_eq!(one.get::<_, i64>(0), 1);
    let sleeping = connection.query(&SLEEP, &[]);
    let given_up = tokio::select! {
        _ = sleeping => false,
        _ = tokio::task::yield_now() => true,
    };
    assert!(given_up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_pool_outlasts_the_runtimes_that_come_and_go() {
    let test = TestDb::without_schema().await;
    // A connection more than the abandoned tasks can hold: the workers' turn always comes.
    let variables = [("DB_POOL_MAX", "5"), ("DB_POOL_MIN", "2")];
    let db = test.connect(&variables).await;
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let db = db.clone();
            thread::spawn(move || {
                for _ in 0..6 {
                    let runtime = bare();
                    // Left in the middle of it when the runtime ends.
                    let abandoned = db.clone();
                    runtime.spawn(async move {
                        let _connection = abandoned.get().await;
                        pending::<()>().await;
                    });
                    runtime.block_on(work(&db));
                }
            })
        })
        .collect();
    tokio::task::spawn_blocking(|| {
        workers
            .into_iter()
            .for_each(|worker| worker.join().unwrap())
    })
    .await
    .unwrap();

    // Nothing has leaked: all can be acquired at once.
    let mut all = Vec::new();
    for _ in 0..5 {
        let connection = db.get().await.unwrap();
        connection.query_one(&ONE, &[]).await.unwrap();
        all.push(connection);
    }
    drop(all);
    eventually("all are returned", async || db.state().in_use == 0).await;
    db.close(LONG).await.unwrap();
}

/// Which process of the server answers.
async fn pid(db: &Database) -> i32 {
    let connection = db.get().await.unwrap();
    let row = connection.query_one(&PID, &[]).await.unwrap();
    row.get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_outlasts_the_runtime_of_the_caller_for_whom_it_was_opened() {
    let test = TestDb::without_schema().await;
    let variables = [("DB_POOL_MIN", "0"), ("DB_POOL_MAX", "2")];
    let db = test.connect(&variables).await;
    let held = db.get().await.unwrap();
    let handle = db.clone();
    // The runtime ends before the connection is used again.
    let opened = tokio::task::spawn_blocking(move || whole().block_on(pid(&handle)));
    assert_eq!(opened.await.unwrap(), pid(&db).await);
    drop(held);
    db.close(LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_outlasts_the_runtime_of_the_caller_whose_connection_it_replaces() {
    const END: &str =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let connection = db.get().await.unwrap();
    let observer = test.observer().await;
    observer.execute(END, &[&test.schema()]).await.unwrap();
    eventually("the connection is lost", async || {
        test.backends(&observer, "true").await == 0
    })
    .await;
    let handle = db.clone();
    let replace = async move || {
        drop(connection);
        pid(&handle).await
    };
    let opened = tokio::task::spawn_blocking(move || whole().block_on(replace()));
    assert_eq!(opened.await.unwrap(), pid(&db).await);
    db.close(LONG).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_may_come_from_no_runtime_at_all() {
    let test = TestDb::without_schema().await;
    let db = test
        .connect(&[("DB_POOL_MAX", "1"), ("DB_ACQUIRE_TIMEOUT", "1s")])
        .await;
    let calls = tokio::task::spawn_blocking(move || {
        block_on(async {
            db.ping().await.unwrap();
            let connection = db.get().await.unwrap();
            let none_is_free = db.get().await.unwrap_err();
            assert!(matches!(none_is_free, Error::AcquireTimeout { .. }));
            connection
                .batch_execute("CREATE TEMP TABLE t ()")
                .await
                .unwrap();
            drop(connection);
            db.ping().await.unwrap();
            db.close(LONG).await.unwrap();
        });
    });
    calls.await.unwrap();
}

#[test]
fn a_call_fails_at_once_when_the_runtime_of_the_pool_has_ended() {
    let owner = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (db, connection) = owner.block_on(async {
        let test = TestDb::without_schema().await;
        let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
        let connection = db.get().await.unwrap();
        (db, connection)
    });
    let other = whole();

    let (waiting, connection, sleeping) = other.block_on(async {
        let handle = db.clone();
        let waiting = tokio::spawn(async move { handle.get().await });
        let sleeping = tokio::spawn(async move {
            let answer = connection.query(&SLEEP, &[]).await;
            (connection, answer)
        });
        while db.state().waiting == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        owner.shutdown_background();
        let (connection, answer) = sleeping.await.unwrap();
        (waiting.await.unwrap(), connection, answer)
    });
    assert!(matches!(waiting, Err(Error::RuntimeEnded)), "{waiting:?}");
    let error = sleeping.unwrap_err();
    assert!(error.is_outcome_unknown(), "{}", chain(&error));

    let error = other
        .block_on(connection.batch_execute("SELECT 1"))
        .unwrap_err();
    assert!(matches!(error, Error::RuntimeEnded), "{error:?}");
    drop(connection);
    let error = other.block_on(db.ping()).unwrap_err();
    assert!(matches!(error, Error::RuntimeEnded), "{error:?}");
    assert!(!error.is_transient());
    expect_test::expect![[r#"
        the runtime in which the database was connected has ended; connect in one that lasts as long as the handle is used
    "#]]
    .assert_eq(&chain(&error));
    let error = other.block_on(db.close(LONG)).unwrap_err();
    assert!(matches!(error, Error::RuntimeEnded), "{error:?}");
}

#[test]
fn an_unknown_outcome_is_not_forgotten_when_the_runtime_of_the_pool_ends() {
    const END: &str = "SELECT pg_terminate_backend(pg_backend_pid())";
    let owner = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let db = owner.block_on(async { TestDb::without_schema().await.connect(&[]).await });
    let owner = Mutex::new(Some(owner));
    // In the pause before the next attempt.
    let end = |_: &Error| {
        if let Some(owner) = owner.lock().unwrap().take() {
            owner.shutdown_background();
        }
        while !matches!(db.ping().now_or_never(), Some(Err(Error::RuntimeEnded))) {
            thread::yield_now();
        }
    };
    let attempt = || async { db.get().await?.batch_execute(END).await };
    let retry = db.retry("end the connection").on_retry(&end);
    let error = bare().block_on(retry.run(attempt)).unwrap_err();
    assert!(error.is_outcome_unknown(), "{}", chain(&error));
}
