//! What is left behind in a session is never noticed by the next caller.

use std::time::{Duration, Instant};

use db::{Connection, Database, GenericClient, Statement, Type};
use tokio::time::timeout;

use rig::{TestDb, eventually};

static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);
static SLEEP: Statement = Statement::new("SELECT pg_sleep(60)", &[]);
static NAP: Statement = Statement::new("SELECT pg_sleep(0.02)", &[]);
static LOCKS: Statement = Statement::new(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    &[],
);
static SETTING: Statement = Statement::new("SELECT current_setting($1)", &[Type::TEXT]);
static PREPARED: Statement = Statement::new("SELECT count(*) FROM pg_prepared_statements", &[]);

/// A pool of one connection: each caller gets what the last one left.
async fn pool_of_one() -> (TestDb, Database) {
    let test = TestDb::new().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    (test, db)
}

async fn pid(connection: &Connection) -> i32 {
    connection.query_one(&PID, &[]).await.unwrap().get(0)
}

async fn setting(connection: &Connection, name: &str) -> String {
    connection
        .query_one(&SETTING, &[&name])
        .await
        .unwrap()
        .get(0)
}

async fn count(connection: &Connection, statement: &Statement) -> i64 {
    connection.query_one(statement, &[]).await.unwrap().get(0)
}

/// Nothing of this test's has a transaction open.
async fn no_transaction(test: &TestDb) -> bool {
    let observer = test.observer().await;
    test.backends(&observer, "state LIKE 'idle in transaction%'")
        .await
        == 0
}

#[tokio::test]
async fn a_raw_begin_never_reaches_the_next_borrower() {
    let (test, db) = pool_of_one().await;
    let connection = db.get().await.unwrap();
    let first = pid(&connection).await;
    connection.batch_execute("BEGIN").await.unwrap();
    drop(connection);
    let connection = db.get().await.unwrap();
    assert!(no_transaction(&test).await);
    assert_eq!(pid(&connection).await, first, "cleaned, not replaced");
}

#[tokio::test]
async fn a_raw_copy_ends_its_connection_and_no_other() {
    let (test, db) = pool_of_one().await;
    let connection = db.get().await.unwrap();
    let first = pid(&connection).await;
    for copy in ["COPY (SELECT 1) TO STDOUT", "COPY pg_class FROM STDIN"] {
        let refused = connection.batch_execute(copy).await;
        assert!(refused.is_err(), "{copy}");
    }
    drop(connection);

    let connection = db.get().await.unwrap();
    assert_ne!(pid(&connection).await, first);
    let observer = test.observer().await;
    let sql = format!("pid = {first}");
    eventually("the server has ended the first", async || {
        test.backends(&observer, &sql).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_raw_set_never_reaches_the_next_borrower() {
    let (_test, db) = pool_of_one().await;
    let connection = db.get().await.unwrap();
    let first = pid(&connection).await;
    connection
        .batch_execute("SET statement_timeout = 777; SET search_path = nowhere; SET my.own = 'x'")
        .await
        .unwrap();
    drop(connection);
    let connection = db.get().await.unwrap();
    assert_eq!(
        setting(&connection, "statement_timeout").await,
        "30s",
        "the pool's own is kept"
    );
    assert_eq!(
        setting(&connection, "search_path").await,
        "\"$user\", public"
    );
    assert_eq!(setting(&connection, "my.own").await, "");
    assert_eq!(pid(&connection).await, first, "cleaned, not replaced");
    assert!(
        count(&connection, &PREPARED).await >= 2,
        "the cache survives"
    );
}

#[tokio::test]
async fn what_statements_do_to_the_session_never_reaches_the_next_borrower() {
    let (_test, db) = pool_of_one().await;
    static SET_CONFIG: Statement =
        Statement::new("SELECT set_config('work_mem', '777kB', false)", &[]);
    static LOCK: Statement = Statement::new("SELECT pg_try_advisory_lock(77)", &[]);
    static TEMPORARY: Statement = Statement::new("CREATE TEMPORARY TABLE mine (id int)", &[]);
    static THEIRS: Statement = Statement::new("SELECT to_regclass('mine') IS NULL", &[]);

    let connection = db.get().await.unwrap();
    let first = pid(&connection).await;
    let fresh = setting(&connection, "work_mem").await;
    connection.query(&SET_CONFIG, &[]).await.unwrap();
    connection.query(&LOCK, &[]).await.unwrap();
    connection.execute(&TEMPORARY, &[]).await.unwrap();
    connection.batch_execute("LISTEN news").await.unwrap();
    assert_eq!(count(&connection, &LOCKS).await, 1);
    drop(connection);
    let connection = db.get().await.unwrap();
    assert_eq!(setting(&connection, "work_mem").await, fresh);
    assert_eq!(count(&connection, &LOCKS).await, 0);
    assert!(
        connection
            .query_one(&THEIRS, &[])
            .await
            .unwrap()
            .get::<_, bool>(0)
    );
    let listening = Statement::new("SELECT count(*) FROM pg_listening_channels()", &[]);
    assert_eq!(count(&connection, &listening).await, 0);
    assert_eq!(pid(&connection).await, first, "cleaned, not replaced");
}

#[tokio::test]
async fn a_connection_whose_prepared_statements_were_touched_is_replaced() {
    let (_test, db) = pool_of_one().await;
    for sql in ["PREPARE mine AS SELECT 1", "DEALLOCATE ALL", "DISCARD ALL"] {
        let connection = db.get().await.unwrap();
        let first = pid(&connection).await;
        connection.batch_execute(sql).await.unwrap();
        drop(connection);
        assert_ne!(pid(&db.get().await.unwrap()).await, first, "after {sql}");
    }
}

#[tokio::test]
async fn an_aborted_transaction_never_reaches_the_next_borrower() {
    let (test, db) = pool_of_one().await;
    let connection = db.get().await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    connection.batch_execute("SELECT 1 / 0").await.unwrap_err();
    drop(connection);
    let connection = db.get().await.unwrap();
    assert!(no_transaction(&test).await);
    pid(&connection).await;
}

#[tokio::test]
async fn a_long_query_whose_future_was_dropped_is_cancelled_and_its_connection_replaced() {
    let (test, db) = pool_of_one().await;
    let observer = test.observer().await;
    let connection = db.get().await.unwrap();
    let first = pid(&connection).await;
    let sleeping = "query LIKE '%pg_sleep%' AND state = 'active'";
    tokio::select! {
        _ = connection.query(&SLEEP, &[]) => panic!("it takes a minute"),
        () = eventually("it runs", async || test.backends(&observer, sleeping).await == 1) => {}
    }
    drop(connection);
    let started = Instant::now();
    let connection = db.get().await.unwrap();
    assert_ne!(pid(&connection).await, first);
    assert!(
        started.elapsed() < Duration::from_secs(4),
        "{:?}",
        started.elapsed()
    );
    eventually("the query is cancelled", async || {
        test.backends(&observer, &format!("pid = {first}")).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_short_query_whose_future_was_dropped_is_waited_for() {
    let (_test, db) = pool_of_one().await;
    // On a busy machine it may not end in time.
    eventually("the connection is kept", async || {
        let connection = db.get().await.unwrap();
        let first = pid(&connection).await;
        connection.query(&NAP, &[]).await.unwrap();
        let query = connection.query(&NAP, &[]);
        assert!(timeout(Duration::from_millis(1), query).await.is_err());
        drop(connection);
        pid(&db.get().await.unwrap()).await == first
    })
    .await;
}

#[tokio::test]
async fn a_statement_after_a_dropped_transaction_is_not_lost_with_it() {
    let (test, db) = pool_of_one().await;
    test.with_notes(&db).await;
    let insert = Statement::from_parts(
        format!("INSERT INTO {}.notes VALUES ($1, 'x')", test.schema()),
        vec![Type::INT8],
    );
    let mut connection = db.get().await.unwrap();
    let dropped = connection.transaction(async |tx| -> db::Result<()> {
        tx.execute(&insert, &[&1_i64]).await?;
        std::future::pending().await
    });
    assert!(timeout(Duration::from_millis(100), dropped).await.is_err());
    connection.execute(&insert, &[&2_i64]).await.unwrap();
    drop(connection);

    let sql = format!("SELECT array_agg(id) FROM {}.notes", test.schema());
    let rows = test.observer().await.query_one(&sql, &[]).await.unwrap();
    assert_eq!(rows.get::<_, Vec<i64>>(0), [2]);
    assert!(no_transaction(&test).await);
}

#[tokio::test]
async fn a_connection_given_back_outside_a_runtime_is_cleaned() {
    let (test, db) = pool_of_one().await;
    let connection = db.get().await.unwrap();
    connection.batch_execute("BEGIN").await.unwrap();
    std::thread::spawn(move || drop(connection)).join().unwrap();
    db.ping().await.unwrap();
    assert!(no_transaction(&test).await);
}

#[tokio::test]
async fn a_transaction_left_open_in_transaction_mode_never_reaches_the_next_borrower() {
    let test = TestDb::without_schema().await;
    let db = test
        .connect(&[("DB_POOL_MAX", "1"), ("DB_POOL_MODE", "transaction")])
        .await;
    let connection = db.get().await.unwrap();
    connection.batch_execute("BEGIN; SELECT 1").await.unwrap();
    drop(connection);
    db.ping().await.unwrap();
    assert!(no_transaction(&test).await);
}
