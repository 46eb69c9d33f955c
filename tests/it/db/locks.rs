//! A lock that is waited for too long is told from a statement that is too slow.

use db::{Connection, Database, Error, GenericClient, Statement, ToSql, Type};
use rig::{TestDb, chain};
use tokio_postgres::Client;

static SLOW: Statement = Statement::new("-- tests::slow\nSELECT pg_sleep(60)", &[]);

/// Has another session lock a note.
async fn locked(test: &TestDb, db: &Database) -> Client {
    test.with_notes(db).await;
    let observer = test.observer().await;
    let schema = test.schema();
    let insert = format!("INSERT INTO {schema}.notes VALUES (1, 'locked')");
    observer.batch_execute(&insert).await.unwrap();
    let lock = format!("BEGIN; UPDATE {schema}.notes SET body = 'still' WHERE id = 1");
    observer.batch_execute(&lock).await.unwrap();
    observer
}

fn update(test: &TestDb) -> Statement {
    let schema = test.schema();
    let sql = format!("-- tests::update\nUPDATE {schema}.notes SET body = $1 WHERE id = 1");
    Statement::from_parts(sql, vec![Type::TEXT])
}

async fn in_transaction(
    connection: &mut Connection,
    statement: &Statement,
    params: &[&(dyn ToSql + Sync)],
) -> Error {
    connection
        .transaction(async |tx| tx.execute(statement, params).await)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_lock_that_is_held_for_too_long_is_a_passing_failure() {
    for mode in ["session", "transaction"] {
        let test = TestDb::new().await;
        let variables = [("DB_POOL_MODE", mode), ("DB_STATEMENT_TIMEOUT", "2s")];
        let db = test.connect(&variables).await;
        let _holder = locked(&test, &db).await;
        let mut connection = db.get().await.unwrap();
        let error = in_transaction(&mut connection, &update(&test), &[&"new"]).await;
        assert!(error.is_transient(), "{}", chain(&error));
        assert_eq!(error.code().unwrap().code(), "55P03");
        let says = "another session has held a lock for too long";
        assert!(error.to_string().contains(says), "{error}");

        let error = in_transaction(&mut connection, &SLOW, &[]).await;
        assert!(matches!(error, Error::StatementTimeout { .. }), "{error:?}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn a_statement_by_itself_waits_no_longer_for_a_lock() {
    let test = TestDb::new().await;
    let db = test.connect(&[("DB_STATEMENT_TIMEOUT", "2s")]).await;
    let _holder = locked(&test, &db).await;
    let connection = db.get().await.unwrap();
    let update = update(&test);
    let error = connection.execute(&update, &[&"new"]).await.unwrap_err();
    assert!(error.is_transient(), "{}", chain(&error));
    assert_eq!(error.code().unwrap().code(), "55P03");
}
