//! A server that goes on, and doesn't know what became of a statement: it had asked another one.

use db::{Connection, Database, Error, GenericClient, Statement};
use expect_test::expect;
use rig::{TestDb, chain};

static PID: Statement = Statement::new("-- pid\nSELECT pg_backend_pid()", &[]);

/// What leaves an outcome open, and what is like it and doesn't.
const OPEN: [&str; 7] = [
    "08000", "08003", "08006", "08007", "40003", "57P01", "57P02",
];
const KNOWN: [&str; 8] = [
    "08001", "08004", "08P01", "40001", "40P01", "53300", "57014", "57P03",
];

async fn pid(connection: &Connection) -> i32 {
    connection.query_one(&PID, &[]).await.unwrap().get(0)
}

/// A statement that the server answers with an error of this code.
fn failing(code: &str) -> Statement {
    let sql = format!(
        "-- failing
         DO $$ BEGIN RAISE EXCEPTION 'no, says the test' USING ERRCODE = '{code}'; END $$"
    );
    Statement::from_parts(sql, Vec::new())
}

async fn pool_of_one() -> (TestDb, Database) {
    let test = TestDb::new().await;
    let db = test.connect(&[("DB_POOL_MAX", "1")]).await;
    test.with_notes(&db).await;
    (test, db)
}

#[tokio::test]
async fn a_code_that_leaves_the_outcome_open_makes_it_unknown_and_the_connection_goes_on() {
    let (_test, db) = pool_of_one().await;
    let connection = db.get().await.unwrap();
    let before = pid(&connection).await;
    for code in OPEN {
        let error = connection.query(&failing(code), &[]).await.unwrap_err();
        assert!(error.is_outcome_unknown() && error.is_transient(), "{code}");
        assert_eq!(error.code().unwrap().code(), code);
    }
    for code in KNOWN {
        let error = connection.query(&failing(code), &[]).await.unwrap_err();
        assert!(!error.is_outcome_unknown(), "{code}");
    }
    assert_eq!(pid(&connection).await, before);
    drop(connection);
    assert_eq!(pid(&db.get().await.unwrap()).await, before);

    let error = db.get().await.unwrap().query(&failing("08006"), &[]).await;
    let text = chain(&error.unwrap_err());
    let (text, _) = text.split_once("CONTEXT").unwrap_or((&text, ""));
    expect![[r#"
        the server does not know what became of `failing`; whether it took effect is unknown
        db error
        ERROR: no, says the test
    "#]]
    .assert_eq(text);
}

#[tokio::test]
async fn within_a_transaction_only_the_commit_is_in_doubt() {
    let (test, db) = pool_of_one().await;
    let sql = "
        CREATE FUNCTION {schema}.refuse() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = NEW.body; END $$;
        CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {schema}.notes
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {schema}.refuse()"
        .replace("{schema}", test.schema());
    test.observer().await.batch_execute(&sql).await.unwrap();
    for code in OPEN {
        let within = db
            .transaction(async |tx| tx.execute(&failing(code), &[]).await)
            .await
            .unwrap_err();
        assert!(matches!(within, Error::Query { .. }), "{within:?}");
        assert!(within.is_transient(), "{code}");

        let insert = format!("INSERT INTO {}.notes VALUES (1, '{code}')", test.schema());
        let error = db
            .transaction(async |tx| tx.batch_execute(&insert).await)
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::OutcomeUnknown { statement, .. } if statement == "COMMIT"),
            "{error:?}"
        );
        // The connection is clean again.
        db.ping().await.unwrap();
    }
}
