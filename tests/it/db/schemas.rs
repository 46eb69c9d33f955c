//! Several schemas over one pool.

use db::{Database, Error, GenericClient, Statement, Type};
use expect_test::expect;
use futures_util::future::join_all;

use rig::{NOTES, TestDb, chain};

/// Handles to one pool of one connection: that of the settings' schema, and two others.
async fn handles(test: &TestDb, mode: &str) -> [Database; 3] {
    let one = [("DB_POOL_MODE", mode), ("DB_POOL_MAX", "1")];
    let database = test.connect(&one).await;
    let other = |name| database.in_schema(&format!("{}_{name}", test.schema()));
    let others = [other("a").unwrap(), other("b").unwrap()];
    let [a, b] = others;
    [database, a, b]
}

fn insert(database: &Database) -> Statement {
    Statement::in_schema(
        "INSERT INTO {schema}.notes (id, body) VALUES ($1, $2)",
        vec![Type::INT8, Type::TEXT],
        NOTES.schema(database),
    )
}

fn bodies(database: &Database) -> Statement {
    Statement::in_schema(
        "SELECT body FROM {schema}.notes ORDER BY id",
        Vec::new(),
        NOTES.schema(database),
    )
}

async fn read(database: &Database) -> Vec<String> {
    let connection = database.get().await.unwrap();
    let rows = connection.query(&bodies(database), &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn each_handle_has_its_tables_in_its_schema_and_all_share_the_connection() {
    // As often as a plan that fits all parameters takes to be made, and further.
    const ROUNDS: i64 = 12;
    for mode in ["session", "transaction"] {
        let test = TestDb::without_schema().await;
        let handles = handles(&test, mode).await;
        for database in &handles {
            NOTES.apply(database).await.unwrap();
            NOTES.verify(database).await.unwrap();
        }
        for round in 0..ROUNDS {
            for database in &handles {
                let connection = database.get().await.unwrap();
                let body = format!("{round} of {}", database.schema().unwrap());
                let insert = insert(database);
                let inserted = connection.execute(&insert, &[&round, &body]).await;
                assert_eq!(inserted.unwrap(), 1);
            }
        }
        for database in &handles {
            let schema = database.schema().unwrap();
            let expected = (0..ROUNDS).map(|round| format!("{round} of {schema}"));
            assert_eq!(read(database).await, expected.collect::<Vec<_>>(), "{mode}");
            assert_eq!(database.state().connections, 1);
        }
    }
}

#[tokio::test]
async fn one_transaction_changes_the_tables_of_several_schemas_or_none() {
    for mode in ["session", "transaction"] {
        let test = TestDb::without_schema().await;
        let handles = handles(&test, mode).await;
        for database in &handles {
            NOTES.apply(database).await.unwrap();
        }
        for (id, commits) in [(1_i64, false), (2, true)] {
            let noted: Result<(), Error> = handles[0]
                .transaction(async |tx| {
                    for database in &handles {
                        tx.execute(&insert(database), &[&id, &"a note"]).await?;
                    }
                    if !commits {
                        tx.execute(&insert(&handles[0]), &[&id, &"twice"]).await?;
                    }
                    Ok(())
                })
                .await;
            assert_eq!(noted.is_ok(), commits);
        }
        for database in &handles {
            assert_eq!(read(database).await, ["a note"], "{mode}");
        }
    }
}

#[tokio::test]
async fn a_set_is_applied_to_many_schemas_at_once() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[("DB_POOL_MAX", "4")]).await;
    let schemas = (0..8).map(|number| format!("{}_{}", test.schema(), number / 2));
    let applied = schemas.map(|schema| {
        let database = database.in_schema(&schema).unwrap();
        async move { NOTES.apply(&database).await }
    });
    for applied in join_all(applied).await {
        applied.unwrap();
    }
    let error = NOTES.verify(&database).await.unwrap_err();
    expect![[r#"
        schema `SCHEMA` has no tables of `notes`: apply the migrations (`setup` or `apply`), unless its name is wrong
    "#]]
    .assert_eq(&chain(&error).replace(test.schema(), "SCHEMA"));
}

#[tokio::test]
async fn a_close_by_one_handle_closes_the_pool_of_all() {
    let test = TestDb::without_schema().await;
    let [database, a, b] = handles(&test, "session").await;
    let soon = std::time::Duration::from_secs(10);
    a.close(soon).await.unwrap();
    assert!(matches!(database.get().await, Err(Error::Closed)));
    assert!(matches!(b.get().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_name_that_no_schema_can_have_is_refused() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[]).await;
    for name in ["", "pg_tenant", "a\0b", &"ü".repeat(32)] {
        let refused = database.in_schema(name).unwrap_err();
        assert!(matches!(&refused, Error::SchemaName { schema, .. } if schema == name));
    }
    let error = database.in_schema("pg_tenant").unwrap_err();
    expect![[r#"
        no schema can be named "pg_tenant": expected 1 to 63 bytes without NUL, not beginning with `pg_`
    "#]]
    .assert_eq(&chain(&error));
    // Any other name is quoted.
    let name = format!("{}_Ä \"b\" {{schema}}", test.schema());
    let database = database.in_schema(&name).unwrap();
    NOTES.apply(&database).await.unwrap();
    assert_eq!(read(&database).await, [""; 0]);
}
