use std::time::Duration;

use db::{Database, Error, Statement};
use expect_test::expect;
use futures_util::FutureExt;
use tokio::time::timeout;

use tests::{TcpProxy, TestDb, chain, eventually};

static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);

async fn pid(connection: &db::Connection) -> i32 {
    connection.query_one(&PID, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn the_pool_opens_one_connection_and_at_most_ten_by_default() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    eventually("one connection is open", async || {
        db.state().connections == 1
    })
    .await;
    let mut borrowed = Vec::new();
    for _ in 0..10 {
        borrowed.push(db.get().await.unwrap());
    }
    let state = db.state();
    assert_eq!(
        (state.connections, state.in_use, state.idle, state.max),
        (10, 10, 0, 10)
    );
    assert!(!state.closed);
    drop(borrowed);
    let state = db.state();
    assert_eq!((state.connections, state.in_use, state.idle), (10, 0, 10));
}

#[tokio::test]
async fn a_pool_without_a_minimum_still_uses_the_connection_that_proved_the_server() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MIN", "0")]).await;
    let observer = test.observer().await;
    assert_eq!(test.backends(&observer, "true").await, 1);
    db.ping().await.unwrap();
    assert_eq!(test.backends(&observer, "true").await, 1);
}

#[tokio::test]
async fn a_time_out_says_how_many_are_borrowed_and_for_how_long_it_waited() {
    let test = TestDb::without_schema().await;
    let db = test
        .connect(&[("DB_POOL_MAX", "2"), ("DB_ACQUIRE_TIMEOUT", "1s")])
        .await;
    let mut lent = Vec::new();
    eventually("all are borrowed", async || {
        lent.extend(db.get().await);
        lent.len() == 2
    })
    .await;
    let error = db.get().await.unwrap_err();
    assert!(error.is_transient());
    let Error::AcquireTimeout {
        borrowed,
        max,
        waited,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((*borrowed, *max), (2, 2));
    assert!(*waited >= Duration::from_secs(1) && *waited < Duration::from_secs(10));
}

#[tokio::test]
async fn a_time_out_says_that_the_server_is_gone_and_why() {
    let test = TestDb::without_schema().await;
    let proxy = TcpProxy::new();
    let settings = test.settings_through(&proxy, &[("DB_ACQUIRE_TIMEOUT", "300ms")]);
    let db = Database::connect(&settings).await.unwrap();
    db.ping().await.unwrap();
    proxy.refuse().await;
    eventually("the loss is noticed", async || db.ping().await.is_err()).await;
    let error = db.get().await.unwrap_err();
    assert!(error.is_transient());
    let text = chain(&error);
    assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
    assert!(text.contains("refused"), "{text}");

    proxy.listen_after(Duration::ZERO);
    eventually("the pool recovers", async || db.ping().await.is_ok()).await;
}

#[tokio::test]
async fn the_connection_that_came_back_last_is_lent_first() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MAX", "2")]).await;
    let (first, second) = (db.get().await.unwrap(), db.get().await.unwrap());
    let (first_pid, second_pid) = (pid(&first).await, pid(&second).await);
    drop(first);
    drop(second);
    for _ in 0..3 {
        assert_eq!(pid(&db.get().await.unwrap()).await, second_pid);
    }
    let _second = db.get().await.unwrap();
    assert_eq!(pid(&db.get().await.unwrap()).await, first_pid);
}

#[tokio::test]
async fn a_borrower_who_gives_up_is_not_counted_as_waiting() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let borrowed = db.get().await.unwrap();
    for _ in 0..5 {
        assert!(timeout(Duration::from_millis(1), db.get()).await.is_err());
    }
    assert_eq!(db.state().waiting, 0);
    let mut waiting = Box::pin(db.get());
    assert!(waiting.as_mut().now_or_never().is_none());
    assert_eq!(db.state().waiting, 1);
    drop(borrowed);
    waiting.await.unwrap();
    assert_eq!(db.state().waiting, 0);
}

#[tokio::test]
async fn a_connection_that_died_while_idle_is_not_lent() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let connection = db.get().await.unwrap();
    let first = pid(&connection).await;
    drop(connection);
    observer
        .execute("SELECT pg_terminate_backend($1)", &[&first])
        .await
        .unwrap();
    eventually("it is gone", async || {
        test.backends(&observer, &format!("pid = {first}")).await == 0
    })
    .await;
    // The driver reads the server's good-bye as soon as it is polled.
    tokio::task::yield_now().await;
    eventually("another is lent", async || {
        let connection = db.get().await.unwrap();
        connection
            .query_one(&PID, &[])
            .await
            .is_ok_and(|row| row.get::<_, i32>(0) != first)
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_went_silent_while_idle_is_not_lent() {
    let test = TestDb::without_schema().await;
    let proxy = TcpProxy::new();
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let db = Database::connect(&settings).await.unwrap();
    let first = pid(&db.get().await.unwrap()).await;
    proxy.stall_present();
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    assert_ne!(pid(&db.get().await.unwrap()).await, first);
}

#[tokio::test]
async fn a_healthy_connection_is_lent_without_a_word_to_the_server() {
    let test = TestDb::without_schema().await;
    let proxy = TcpProxy::new();
    let settings = test.settings_through(&proxy, &[("DB_POOL_MAX", "1")]);
    let db = Database::connect(&settings).await.unwrap();
    let first = pid(&db.get().await.unwrap()).await;
    let before = proxy.round_trips();
    for _ in 0..10 {
        assert_eq!(pid(&db.get().await.unwrap()).await, first);
    }
    assert_eq!(proxy.round_trips() - before, 10, "the statements' own");
}

#[tokio::test]
async fn an_error_names_the_statement_and_its_cause() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    static WRONG: Statement = Statement::new("-- orders::divide\nSELECT 1 / 0", &[]);
    let error = db
        .get()
        .await
        .unwrap()
        .query(&WRONG, &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&db::SqlState::DIVISION_BY_ZERO));
    assert!(!error.is_transient() && !error.is_outcome_unknown());
    expect![[r#"
        `orders::divide` failed
        db error
        ERROR: division by zero
    "#]]
    .assert_eq(&chain(&error));
}
