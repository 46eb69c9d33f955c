//! Backends that are ended from outside.

use db::{Connection, Database, Error, GenericClient, Statement, Type};
use expect_test::expect;
use tokio_postgres::Client;

use rig::{TestDb, chain, eventually};

static PID: Statement = Statement::new("-- pid\nSELECT pg_backend_pid()", &[]);
static SLEEP: Statement = Statement::new("-- sleep\nSELECT pg_sleep(60)", &[]);

async fn pid(connection: &Connection) -> i32 {
    connection.query_one(&PID, &[]).await.unwrap().get(0)
}

/// Ends a backend, and waits until it is gone.
async fn kill(test: &TestDb, observer: &Client, pid: i32) {
    let sql = "SELECT pg_terminate_backend($1)";
    let row = observer.query_one(sql, &[&pid]).await.unwrap();
    assert!(row.get::<_, bool>(0));
    eventually("it is gone", async || {
        test.backends(observer, &format!("pid = {pid}")).await == 0
    })
    .await;
}

async fn sleeps(test: &TestDb, observer: &Client) -> i32 {
    let sql = "SELECT pid FROM pg_stat_activity \
         WHERE application_name = $1 AND wait_event = 'PgSleep'";
    let mut found = None;
    eventually("it sleeps", async || {
        let rows = observer.query(sql, &[&test.schema()]).await.unwrap();
        found = rows.first().map(|row| row.get(0));
        found.is_some()
    })
    .await;
    found.unwrap()
}

async fn pool_of_one() -> (TestDb, Database, Client) {
    let test = TestDb::new().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    test.with_notes(&db).await;
    let observer = test.observer().await;
    (test, db, observer)
}

async fn notes(test: &TestDb, observer: &Client) -> i64 {
    let sql = format!("SELECT count(*) FROM {}.notes", test.schema());
    observer.query_one(&sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_backend_killed_while_idle_is_replaced_by_itself() {
    let (test, db, observer) = pool_of_one().await;
    let first = pid(&db.get().await.unwrap()).await;
    kill(&test, &observer, first).await;
    eventually("there is another", async || {
        test.backends(&observer, "state = 'idle'").await == 1
    })
    .await;
    assert_ne!(pid(&db.get().await.unwrap()).await, first);
}

#[tokio::test]
async fn a_statement_whose_backend_is_killed_has_an_unknown_outcome() {
    let (test, db, observer) = pool_of_one().await;
    let connection = db.get().await.unwrap();
    let (result, ()) = tokio::join!(connection.query(&SLEEP, &[]), async {
        let pid = sleeps(&test, &observer).await;
        kill(&test, &observer, pid).await;
    });
    let error = result.unwrap_err();
    assert!(error.is_transient() && error.is_outcome_unknown());
    expect![[r#"
        the connection was lost during `sleep`; whether it took effect is unknown
        db error
        FATAL: terminating connection due to administrator command
    "#]]
    .assert_eq(&chain(&error));
    drop(connection);
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_backend_killed_between_two_statements_fails_the_second() {
    let (test, db, observer) = pool_of_one().await;
    let connection = db.get().await.unwrap();
    let first = pid(&connection).await;
    kill(&test, &observer, first).await;
    // Whether it was sent at all is for chance to decide.
    let error = connection.query(&PID, &[]).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::ConnectionLost { .. } | Error::OutcomeUnknown { .. }
        ),
        "{error:?}"
    );
    assert!(error.is_transient());
    drop(connection);
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_backend_killed_in_a_transaction_takes_all_of_it_along() {
    let (test, db, observer) = pool_of_one().await;
    let insert = Statement::from_parts(
        format!(
            "-- insert\nINSERT INTO {}.notes VALUES ($1, 'x')",
            test.schema()
        ),
        vec![Type::INT8],
    );
    let error = db
        .transaction(async |tx| -> db::Result<()> {
            tx.execute(&insert, &[&1_i64]).await?;
            let pid = tx.query_one(&PID, &[]).await?.get(0);
            kill(&test, &observer, pid).await;
            tx.execute(&insert, &[&2_i64]).await.map(drop)
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
    assert!(error.is_transient() && !error.is_outcome_unknown());
    assert_eq!(notes(&test, &observer).await, 0);

    // In the middle of one of its statements.
    let (result, ()) = tokio::join!(
        db.transaction(async |tx| -> db::Result<()> {
            tx.execute(&insert, &[&1_i64]).await?;
            tx.query(&SLEEP, &[]).await.map(drop)
        }),
        async {
            let pid = sleeps(&test, &observer).await;
            kill(&test, &observer, pid).await;
        }
    );
    let error = result.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
    assert_eq!(notes(&test, &observer).await, 0);
    db.ping().await.unwrap();
}

#[tokio::test]
async fn a_backend_killed_during_a_commit_leaves_the_outcome_unknown() {
    let (test, db, observer) = pool_of_one().await;
    let sql = "
        CREATE FUNCTION {schema}.linger() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep(60); RETURN NULL; END';
        CREATE CONSTRAINT TRIGGER linger AFTER INSERT ON {schema}.notes
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.linger()"
        .replace("{schema}", test.schema());
    observer.batch_execute(&sql).await.unwrap();
    let insert = format!("INSERT INTO {}.notes VALUES (1, 'x')", test.schema());
    let (result, ()) = tokio::join!(
        db.transaction(async |tx| tx.batch_execute(&insert).await),
        async {
            let pid = sleeps(&test, &observer).await;
            kill(&test, &observer, pid).await;
        }
    );
    let error = result.unwrap_err();
    assert!(matches!(&error, Error::OutcomeUnknown { statement, .. } if statement == "COMMIT"));
    assert_eq!(notes(&test, &observer).await, 0, "this time it wasn't");
    db.ping().await.unwrap();
}
