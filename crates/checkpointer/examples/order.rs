//! An agent that orders a kettle: the order and the agent's memory of it are stored together, or
//! neither is.
//!
//! ```text
//! cargo run --package checkpointer --example order
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::db::{Database, GenericClient, Migration, Migrations, Statement, Type};
use checkpointer::{PostgresCheckpointer, settings};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const SHOP: Migrations = Migrations::new(
    "shop",
    &[Migration {
        number: 1,
        name: "orders",
        sql: "CREATE TABLE {schema}.orders (id uuid PRIMARY KEY, item text NOT NULL)",
    }],
);

#[derive(Default, Serialize, Deserialize)]
struct Shopper {
    messages: Vec<String>,
    ordered: Vec<String>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::connect(&settings::Settings::load()?).await?;
    SHOP.apply(&database).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    let insert = Statement::in_schema(
        "-- shop::order
         INSERT INTO {schema}.orders (id, item) VALUES ($1::text::uuid, $2)",
        vec![Type::TEXT, Type::TEXT],
        SHOP.schema(&database),
    );

    let order = Uuid::new_v4().to_string();
    let attempt = || async {
        let mut thread = checkpointer.thread::<Shopper>("shopper-4711")?;
        database
            .transaction(async |tx| {
                let mut state = thread.load_within(tx).await?.unwrap_or_default();
                // The attempt before may have been committed, and only its answer lost.
                if state.ordered.contains(&order) {
                    return Ok(());
                }
                tx.execute(&insert, &[&order, &"a kettle"]).await?;
                state
                    .messages
                    .push(format!("Ordered a kettle: number {order}."));
                state.ordered.push(order.clone());
                // Fails with `Conflict` if another program has saved since: then there is no order
                // either.
                thread.save_within(tx, &state).await?;
                Ok(())
            })
            .await
    };
    let ordered: checkpointer::Result<()> = database.retry("order a kettle").run(attempt).await;
    ordered?;
    println!("order {order} is stored, and so is that it was made");

    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
