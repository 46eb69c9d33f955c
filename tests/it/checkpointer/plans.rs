//! The plans that PostgreSQL makes of the statements.

use checkpointer::PostgresCheckpointer;
use db::{GenericClient, Statement};
use expect_test::expect;
use serde_json::{Value, json};

use super::step::{Step, get, thread, try_write};
use rig::TestDb;

/// The server makes a plan for the parameters at hand five times, and then decides whether one for
/// any parameters serves as well.
static PLANS: Statement = Statement::new(
    "SELECT split_part(statement, chr(10), 1), generic_plans > 0, custom_plans > 5
    FROM pg_prepared_statements
    WHERE generic_plans + custom_plans > 5 ORDER BY 1",
    &[],
);

#[tokio::test]
async fn no_call_is_planned_each_time() {
    let test = TestDb::without_schema().await;
    let database = test.connect(&[("DB_POOL_MAX", "1")]).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let mut last = Step::first(&thread("known")).put(&checkpointer).await;
    let mut messages: Vec<Value> = Vec::new();
    // The list has none, one and many chunks in turn.
    for step in 0..40 {
        messages.push(json!({ "step": step, "text": "What is it that grows? ".repeat(step) }));
        let written = try_write(&checkpointer, &last, "task", &json!([step])).await;
        written.unwrap();
        let next = Step::after(&last).values(json!({ "messages": messages }));
        last = next.put(&checkpointer).await;
        get(&checkpointer, &last).await;
    }
    let rows = database.get().await.unwrap().query(&PLANS, &[]).await;
    let mut plans = String::new();
    for row in rows.unwrap() {
        let (statement, generic, custom): (&str, bool, bool) = (row.get(0), row.get(1), row.get(2));
        plans.push_str(&format!(
            "{statement}: generic {generic}, custom {custom}\n"
        ));
    }
    expect![[r#"
        -- checkpointer::get_tuple: generic true, custom false
        -- checkpointer::put: generic true, custom false
        -- checkpointer::put_writes: generic true, custom false
    "#]]
    .assert_eq(&plans);
}
