//! An agent that orders a kettle: the order and the agent's memory of it are stored together, or
//! neither is.
//!
//! ```text
//! cargo run --package checkpointer --example order
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::PostgresCheckpointer;
use db::{Database, GenericClient, Migration, Migrations, Statement, Type};
use serde::{Deserialize, Serialize};

const SHOP: Migrations = Migrations::new(
    "shop",
    &[Migration {
        number: 1,
        name: "orders",
        sql: "CREATE TABLE {schema}.orders (
            id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            item text NOT NULL
        )",
    }],
);

#[derive(Default, Serialize, Deserialize)]
struct Shopper {
    messages: Vec<String>,
    ordered: Vec<i64>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::connect(&settings::Settings::load()?).await?;
    SHOP.apply(&database).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    let insert = Statement::in_schema(
        "-- shop::order
         INSERT INTO {schema}.orders (item) VALUES ($1) RETURNING id",
        vec![Type::TEXT],
        SHOP.schema(&database),
    );

    let mut thread = checkpointer.thread::<Shopper>("shopper-4711")?;
    let mut state = thread.load().await?.unwrap_or_default();
    let bought: checkpointer::Result<i64> = database
        .transaction(async |tx| {
            let order = tx.query_one(&insert, &[&"a kettle"]).await?.get(0);
            state
                .messages
                .push(format!("Ordered a kettle: number {order}."));
            state.ordered.push(order);
            // Fails with `Conflict` if another program has saved since: then there is no order
            // either.
            thread.save_within(tx, &state).await?;
            Ok(order)
        })
        .await;
    println!("order {} is stored, and so is that it was made", bought?);

    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
