//! How statements are sent, and what comes back.

use std::time::{Duration, Instant};

use db::{Database, Error, GenericClient, SqlState, Statement, Type};
use futures_util::future::join_all;

use rig::{TcpProxy, TestDb, eventually};

static ECHO: Statement = Statement::new("-- echo\nSELECT $1::int8", &[Type::INT8]);
static SLEEP: Statement = Statement::new("-- sleep\nSELECT pg_sleep(60)", &[]);
static PREPARED: Statement = Statement::new("SELECT count(*) FROM pg_prepared_statements", &[]);

async fn through(proxy: &TcpProxy, mode: &str) -> (TestDb, Database) {
    let test = TestDb::without_schema().await;
    let settings = test.settings_through(proxy, &[("DB_POOL_MAX", "1"), ("DB_POOL_MODE", mode)]);
    let db = Database::connect(&settings).await.unwrap();
    db.ping().await.unwrap();
    (test, db)
}

#[tokio::test]
async fn a_statement_is_prepared_once_per_connection_in_session_mode() {
    let proxy = TcpProxy::new();
    let (_test, db) = through(&proxy, "session").await;
    let mut round_trips = Vec::new();
    for number in 0..3_i64 {
        let before = proxy.round_trips();
        let row = db
            .get()
            .await
            .unwrap()
            .query_one(&ECHO, &[&number])
            .await
            .unwrap();
        assert_eq!(row.get::<_, i64>(0), number);
        round_trips.push(proxy.round_trips() - before);
    }
    assert_eq!(round_trips, [2, 1, 1]);
}

#[tokio::test]
async fn a_statement_is_one_round_trip_and_leaves_nothing_in_transaction_mode() {
    let proxy = TcpProxy::new();
    let (_test, db) = through(&proxy, "transaction").await;
    let connection = db.get().await.unwrap();
    let before = proxy.round_trips();
    connection.query_one(&ECHO, &[&1_i64]).await.unwrap();
    assert_eq!(proxy.round_trips() - before, 1);
    let prepared: i64 = connection.query_one(&PREPARED, &[]).await.unwrap().get(0);
    assert_eq!(prepared, 0);
}

#[tokio::test]
async fn joined_calls_share_a_round_trip() {
    for mode in ["session", "transaction"] {
        let proxy = TcpProxy::new();
        let (_test, db) = through(&proxy, mode).await;
        let connection = db.get().await.unwrap();
        connection.query_one(&ECHO, &[&0_i64]).await.unwrap();
        let numbers: Vec<i64> = (0..20).collect();
        let before = proxy.round_trips();
        let calls = numbers.iter().map(async |number| {
            connection
                .query_one(&ECHO, &[number])
                .await
                .unwrap()
                .get::<_, i64>(0)
        });
        assert_eq!(join_all(calls).await, numbers);
        let round_trips = proxy.round_trips() - before;
        assert!(round_trips < 5, "{round_trips} in {mode} mode");
    }
}

#[tokio::test]
async fn the_statement_cache_is_bounded() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let connection = db.get().await.unwrap();
    for number in 0..300 {
        let statement = Statement::from_parts(format!("SELECT {number}"), Vec::new());
        let row = connection.query_one(&statement, &[]).await.unwrap();
        assert_eq!(row.get::<_, i32>(0), number);
    }
    let prepared: i64 = connection.query_one(&PREPARED, &[]).await.unwrap().get(0);
    assert_eq!(prepared, 256);
}

#[tokio::test]
async fn a_statement_made_stale_by_ddl_is_prepared_again() {
    let test = TestDb::new().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    test.with_notes(&db).await;
    let all = Statement::from_parts(format!("SELECT * FROM {}.notes", test.schema()), Vec::new());
    let observer = test.observer().await;
    let add = async |column: &str| {
        let sql = format!(
            "ALTER TABLE {}.notes ADD COLUMN {column} int",
            test.schema()
        );
        observer.batch_execute(&sql).await.unwrap();
    };
    let mut connection = db.get().await.unwrap();
    connection.query(&all, &[]).await.unwrap();
    add("one").await;
    connection.query(&all, &[]).await.unwrap();

    // A transaction has failed by then, but the next one is all right.
    add("two").await;
    let error = connection
        .transaction(async |tx| tx.query(&all, &[]).await)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::FEATURE_NOT_SUPPORTED));
    connection
        .transaction(async |tx| tx.query(&all, &[]).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_statement_that_was_deallocated_is_prepared_again() {
    let test = TestDb::without_schema().await;
    let db = test.connect(&[]).await;
    let connection = db.get().await.unwrap();
    connection.query(&ECHO, &[&1_i64]).await.unwrap();
    connection.batch_execute("DEALLOCATE ALL").await.unwrap();
    connection.query(&ECHO, &[&1_i64]).await.unwrap();
}

#[tokio::test]
async fn calls_say_when_parameters_or_rows_do_not_fit() {
    let test = TestDb::without_schema().await;
    static MANY: Statement = Statement::new("SELECT generate_series(1, 3)", &[]);
    static NONE: Statement = Statement::new("SELECT 1 WHERE false", &[]);
    for mode in ["session", "transaction"] {
        let db = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let connection = db.get().await.unwrap();
        let error = connection.query(&ECHO, &[]).await.unwrap_err();
        assert!(matches!(
            error,
            Error::ParameterCount {
                expected: 1,
                given: 0,
                ..
            }
        ));
        let error = connection.query(&ECHO, &[&"text"]).await.unwrap_err();
        assert!(matches!(error, Error::Query { .. }), "{error:?}");
        let error = connection.query_opt(&MANY, &[]).await.unwrap_err();
        assert!(matches!(error, Error::RowCount { rows: 3, .. }));
        let error = connection.query_one(&NONE, &[]).await.unwrap_err();
        assert!(matches!(error, Error::RowCount { rows: 0, .. }));
        assert!(connection.query_opt(&NONE, &[]).await.unwrap().is_none());
        assert_eq!(connection.execute(&MANY, &[]).await.unwrap(), 3);
    }
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_cancelled_in_both_modes() {
    let test = TestDb::without_schema().await;
    let observer = test.observer().await;
    for mode in ["session", "transaction"] {
        let db = test
            .connect(&[
                ("DB_POOL_MAX", "1"),
                ("DB_POOL_MODE", mode),
                ("DB_STATEMENT_TIMEOUT", "300ms"),
            ])
            .await;
        let connection = db.get().await.unwrap();
        let started = Instant::now();
        let error = connection.query(&SLEEP, &[]).await.unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(10));
        let Error::StatementTimeout {
            statement, limit, ..
        } = &error
        else {
            panic!("{error:?} in {mode} mode");
        };
        assert_eq!((statement.as_str(), limit.as_millis()), ("sleep", 300));
        eventually("nothing runs", async || {
            test.backends(&observer, "state = 'active'").await == 0
        })
        .await;
        drop(connection);
        db.ping().await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_lost_during_a_statement_leaves_its_outcome_unknown() {
    let proxy = TcpProxy::new();
    let (_test, db) = through(&proxy, "session").await;
    let connection = db.get().await.unwrap();
    proxy.cut_instead_of_answer_to("-- lost");
    let error = connection
        .batch_execute("-- lost\nSELECT 1")
        .await
        .unwrap_err();
    assert!(
        error.is_outcome_unknown() && error.is_transient(),
        "{error:?}"
    );
    // What comes after that isn't even sent.
    let error = connection.query(&ECHO, &[&1_i64]).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
    assert!(!error.is_outcome_unknown() && error.is_transient());
    drop(connection);
    db.ping().await.unwrap();
}

/// For a connection and for a transaction.
async fn one(client: &impl GenericClient) -> db::Result<i32> {
    static ONE: Statement = Statement::new("SELECT 1", &[]);
    client.batch_execute("SELECT 'nothing'").await?;
    client.query(&ONE, &[]).await?;
    client.query_opt(&ONE, &[]).await?;
    client.execute(&ONE, &[]).await?;
    Ok(client.query_one(&ONE, &[]).await?.get(0))
}

#[tokio::test]
async fn one_function_takes_a_connection_or_a_transaction() {
    for mode in ["session", "transaction"] {
        let test = TestDb::without_schema().await;
        let db = test.connect(&[("DB_POOL_MODE", mode)]).await;
        let within = db.transaction(async |tx| one(tx).await).await;
        assert_eq!(within.unwrap(), 1);
        let connection = db.get().await.unwrap();
        // Its future can be sent to another thread.
        let alone = tokio::spawn(async move { one(&connection).await });
        assert_eq!(alone.await.unwrap().unwrap(), 1);
    }
}
