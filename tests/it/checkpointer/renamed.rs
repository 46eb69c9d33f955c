//! A schema that is renamed: everything in it goes on under the new name, and what is made under the
//! old one is never read.

use checkpointer::{CheckpointAddress, Checkpointer, Error, GetTuple, PostgresCheckpointer};
use rig::{TestDb, chain, without_orders};
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::step::{Step, checkpointer, get, large, thread, try_write, values};

/// Values that are cut into chunks, some of which refer to further chunks.
fn nested(seed: usize) -> Value {
    json!({
        "messages": [large(seed), { "inner": [large(seed + 1), {}, []] }, "a,]b", null, -1.5],
        "members": { "a": large(seed), "b:\"": { "c": large(seed + 2) }, "d": {} },
        "small": seed,
    })
}

/// A thread whose state and pending write are made of chunks.
async fn fill(checkpointer: &PostgresCheckpointer, seed: usize) -> CheckpointAddress {
    let step = Step::first(&thread("support-4711")).values(nested(seed));
    let address = step.put(checkpointer).await;
    let value = nested(seed);
    try_write(checkpointer, &address, "task", &value)
        .await
        .unwrap();
    address
}

async fn rename(client: &Client, from: &str, to: &str) {
    let sql = format!("ALTER SCHEMA {from} RENAME TO {to}");
    client.batch_execute(&sql).await.unwrap();
}

/// The one document that a query gives.
async fn one(client: &Client, sql: &str) -> Value {
    let row = client.query_one(sql, &[]).await.unwrap();
    serde_json::from_str(row.get(0)).unwrap()
}

/// What people read in a schema, and what the program reads there.
async fn check_reads(test: &TestDb, schema: &str, address: &CheckpointAddress, expected: &Value) {
    let client = test.observer().await;
    let state = format!("SELECT {schema}.state('support-4711')::text");
    assert_eq!(without_orders(one(&client, &state).await), *expected);
    let write = format!(
        "SELECT {schema}.stored_value(thread_id, value)::text FROM {schema}.pending_writes"
    );
    assert_eq!(without_orders(one(&client, &write).await), *expected);
    let overview = format!("SELECT to_json(head)::text FROM {schema}.thread_overview");
    assert_eq!(
        one(&client, &overview).await,
        address.checkpoint_id.as_str()
    );

    let renamed = checkpointer(test, &[("DB_SCHEMA", schema)]).await;
    let found = get(&renamed, address).await;
    assert_eq!(values(&found), *expected);
    assert_eq!(*found.pending_writes[0].value, *expected);
}

#[tokio::test]
async fn a_renamed_schema_is_read_under_its_new_name() {
    let test = TestDb::without_schema().await;
    let before = checkpointer(&test, &[]).await;
    let address = fill(&before, 1).await;
    let renamed = format!("{}_renamed", test.schema());
    rename(&test.observer().await, test.schema(), &renamed).await;

    check_reads(&test, &renamed, &address, &nested(1)).await;
    let after = checkpointer(&test, &[("DB_SCHEMA", &*renamed)]).await;
    let next = Step::after(&address).values(nested(5)).put(&after).await;
    assert_eq!(values(&get(&after, &next).await), nested(5));
}

/// Had a function kept the old name, it would read the other schema's chunks.
#[tokio::test]
async fn a_new_schema_under_the_old_name_is_not_read() {
    let test = TestDb::without_schema().await;
    let before = checkpointer(&test, &[]).await;
    let address = fill(&before, 1).await;
    let renamed = format!("{}_renamed", test.schema());
    rename(&test.observer().await, test.schema(), &renamed).await;
    let decoy = checkpointer(&test, &[]).await;
    let other = fill(&decoy, 7).await;
    // Each hash of the first program leads to something else here.
    let client = test.observer().await;
    let sql = format!(
        "INSERT INTO {decoy}.chunks SELECT thread_id, hash, '\"decoy\"', refs FROM {renamed}.chunks
        ON CONFLICT (thread_id, hash) DO NOTHING",
        decoy = test.schema()
    );
    client.batch_execute(&sql).await.unwrap();

    check_reads(&test, &renamed, &address, &nested(1)).await;
    check_reads(&test, test.schema(), &other, &nested(7)).await;
}

#[tokio::test]
async fn a_program_that_still_has_the_old_name_says_that_its_tables_are_missing() {
    let test = TestDb::without_schema().await;
    let running = checkpointer(&test, &[]).await;
    let address = fill(&running, 1).await;
    let client = test.observer().await;
    let renamed = format!("{}_renamed", test.schema());
    rename(&client, test.schema(), &renamed).await;

    let read = running.get_tuple(GetTuple::at(&address)).await.unwrap_err();
    let put = Step::after(&address).values(nested(2));
    let put = put.try_put(&running).await.unwrap_err();
    for error in [read, put] {
        assert!(matches!(error, Error::Database { .. }), "{error:?}");
        assert!(!error.is_transient());
        assert!(
            chain(&error).contains("a schema or a table is missing"),
            "{}",
            chain(&error)
        );
    }

    rename(&client, &renamed, test.schema()).await;
    let next = Step::after(&address).values(nested(2)).put(&running).await;
    assert_eq!(values(&get(&running, &next).await), nested(2));
}
