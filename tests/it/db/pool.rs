//! The pool: how many connections it opens, keeps and replaces.

use std::time::Duration;

use db::{Database, Error, GenericClient, Statement};
use expect_test::expect;
use futures_util::FutureExt;
use settings::Settings;
use tokio::time::timeout;

use rig::{TcpProxy, TestDb, chain, eventually, timeless};

static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);

/// The URL of the test server for another role, whose password is `own`.
fn as_role(role: &str) -> String {
    let settings = Settings::from_url(&rig::url()).unwrap();
    let (host, dbname) = (&settings.hosts()[0], settings.dbname());
    format!("postgres://{role}:own@{host}/{dbname}")
}

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
async fn a_time_out_says_how_many_are_in_use_and_for_how_long_it_waited() {
    let test = TestDb::without_schema().await;
    let db = test
        .connect(&[("DB_POOL_MAX", "2"), ("DB_ACQUIRE_TIMEOUT", "1s")])
        .await;
    let mut lent = Vec::new();
    eventually("all are in use", async || {
        lent.extend(db.get().await);
        lent.len() == 2
    })
    .await;
    let error = db.get().await.unwrap_err();
    assert!(error.is_transient());
    let Error::AcquireTimeout { waited, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(*waited >= Duration::from_secs(1) && *waited < Duration::from_secs(10));
    expect![[r#"
        no connection became free within TIME: 2 of 2 are in use
    "#]]
    .assert_eq(&timeless(&error));
}

#[tokio::test]
async fn a_time_out_says_that_the_server_has_no_room() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    let role = test.schema();
    let sql = format!("CREATE ROLE {role} LOGIN PASSWORD 'own' CONNECTION LIMIT 1");
    observer.batch_execute(&sql).await.unwrap();
    let url = as_role(role);
    // A client may come back before the server has noticed that it was gone.
    let settings = test.settings_for(&url, &[("DB_ACQUIRE_TIMEOUT", "2s")]);
    let db = Database::connect(&settings).await.unwrap();
    let first = db.get().await.unwrap();
    let error = db.get().await.unwrap_err();
    assert!(error.is_transient());
    let host = settings.hosts()[0].to_string();
    let text = timeless(&error)
        .replace(&host, "HOST")
        .replace(role, "ROLE");
    expect![[r#"
        no connection could be opened within TIME
        failed to connect to `HOST/postgres`: the server has no room for another connection (tried for TIME)
        db error
        FATAL: too many connections for role "ROLE"
    "#]]
    .assert_eq(&text.replace(&format!("HOST/{}", settings.dbname()), "HOST/postgres"));
    drop(first);
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_time_out_says_that_a_connection_is_still_being_opened() {
    let test = TestDb::without_schema().await;
    let proxy = TcpProxy::new();
    let settings = test.settings_through(&proxy, &[("DB_ACQUIRE_TIMEOUT", "2s")]);
    let db = Database::connect(&settings).await.unwrap();
    let borrowed = db.get().await.unwrap();
    proxy.stall();
    let error = db.get().await.unwrap_err();
    assert!(error.is_transient());
    expect![[r#"
        no connection was open within TIME: the server hasn't answered so far
    "#]]
    .assert_eq(&timeless(&error));
    proxy.release();
    drop(borrowed);
    db.ping().await.unwrap();
}

#[tokio::test]
async fn what_waiting_will_not_mend_is_reported_at_once() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    let role = test.schema();
    let sql = format!("CREATE ROLE {role} LOGIN PASSWORD 'own'");
    observer.batch_execute(&sql).await.unwrap();
    let settings = test.settings_for(&as_role(role), &[("DB_ACQUIRE_TIMEOUT", "1h")]);
    let db = Database::connect(&settings).await.unwrap();
    // Committed before the pool can connect again.
    let sql = format!("ALTER ROLE {role} NOLOGIN");
    observer.batch_execute(&sql).await.unwrap();
    let sql =
        format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    observer.batch_execute(&sql).await.unwrap();
    let mut last = None;
    eventually("the loss is noticed", async || {
        last = db.ping().await.err();
        matches!(last, Some(Error::Unreachable { .. }))
    })
    .await;
    let error = last.unwrap();
    assert!(!error.is_transient());
    assert!(chain(&error).contains("the user or password was rejected"));

    // The pool finds out by itself that it was put right.
    let sql = format!("ALTER ROLE {role} LOGIN");
    observer.batch_execute(&sql).await.unwrap();
    eventually("the pool recovers", async || db.state().connections == 1).await;
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_connection_that_is_too_old_is_replaced_however_busy_it_is() {
    let test = TestDb::without_schema().await;
    let db = test
        .connect(&[("DB_POOL_MAX", "1"), ("DB_MAX_LIFETIME", "1s")])
        .await;
    let first = pid(&db.get().await.unwrap()).await;
    eventually("it is replaced", async || {
        pid(&db.get().await.unwrap()).await != first
    })
    .await;
}

#[tokio::test]
async fn connections_that_were_idle_too_long_are_closed_by_themselves() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    let variables = [("DB_IDLE_TIMEOUT", "1s"), ("DB_POOL_MIN", "1")];
    let db = test.connect(&variables).await;
    let mut lent = Vec::new();
    for _ in 0..3 {
        lent.push(db.get().await.unwrap());
    }
    let mut first = Vec::new();
    for connection in &lent {
        first.push(pid(connection).await.to_string());
    }
    lent.clear();
    let first = format!("pid IN ({})", first.join(", "));
    eventually("they are closed, but for the minimum", async || {
        test.backends(&observer, &first).await == 0 && db.state().connections == 1
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_past_its_time_is_not_lent_even_if_it_is_still_there() {
    for (variables, minutes) in [
        (
            [("DB_IDLE_TIMEOUT", "10min"), ("DB_MAX_LIFETIME", "off")],
            11,
        ),
        (
            [("DB_IDLE_TIMEOUT", "off"), ("DB_MAX_LIFETIME", "30min")],
            31,
        ),
    ] {
        let test = TestDb::without_schema().await;
        let proxy = TcpProxy::new();
        let settings = test.settings_through(&proxy, &variables);
        let db = Database::connect(&settings).await.unwrap();
        let first = pid(&db.get().await.unwrap()).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(60 * minutes)).await;
        tokio::time::resume();
        assert_ne!(pid(&db.get().await.unwrap()).await, first);
    }
}

#[tokio::test]
async fn a_pool_fills_up_again_by_itself_after_an_outage() {
    let test = TestDb::without_schema().await;
    let proxy = TcpProxy::new();
    let settings = test.settings_through(&proxy, &[("DB_POOL_MIN", "3"), ("DB_POOL_MAX", "5")]);
    let db = Database::connect(&settings).await.unwrap();
    eventually("it is full", async || db.state().idle == 3).await;
    proxy.refuse().await;
    eventually("all are lost", async || db.state().connections == 0).await;
    proxy.listen();
    eventually("it is full again", async || db.state().idle == 3).await;

    let mut lent = Vec::new();
    for _ in 0..5 {
        let connection = db.get().await.unwrap();
        pid(&connection).await;
        lent.push(connection);
    }
    assert_eq!(db.state().connections, 5);
}

#[tokio::test]
async fn lost_connections_are_replaced_behind_one_that_has_rested() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    let variables = [("DB_POOL_MIN", "3"), ("DB_POOL_MAX", "3")];
    let db = test.connect(&variables).await;
    let mut lent = Vec::new();
    for _ in 0..3 {
        lent.push(db.get().await.unwrap());
    }
    let mut pids = Vec::new();
    for connection in &lent {
        pids.push(pid(connection).await.to_string());
    }
    // The last one is lent first.
    lent.into_iter().for_each(drop);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(6)).await;
    tokio::time::resume();
    let lost = format!("pid IN ({}, {})", pids[0], pids[1]);
    let sql = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {lost}");
    observer.batch_execute(&sql).await.unwrap();
    let others = format!("NOT {lost}");
    eventually("others have taken their place", async || {
        test.backends(&observer, &others).await == 3
    })
    .await;
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

    proxy.listen();
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
