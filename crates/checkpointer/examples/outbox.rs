//! An agent that orders a kettle where its rows can't share a transaction with its state: what is to
//! be ordered is a part of the state first.
//!
//! ```text
//! cargo run --package checkpointer --example outbox
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::collections::BTreeMap;
use std::time::Duration;

use checkpointer::db::{Database, GenericClient, Migration, Migrations, Statement, Type};
use checkpointer::{PostgresCheckpointer, Thread, db, settings};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const SHOP: Migrations = Migrations::new(
    "kettles",
    &[Migration {
        number: 1,
        name: "orders",
        sql: "CREATE TABLE {schema}.kettle_orders (id uuid PRIMARY KEY, item text NOT NULL)",
    }],
);

#[derive(Default, Serialize, Deserialize)]
struct Shopper {
    messages: Vec<String>,
    /// What is to be ordered, by the id that its row will have.
    outbox: BTreeMap<String, String>,
}

/// Inserts an order, once: in any database, with any driver.
async fn insert(shop: &Database, id: &str, item: &str) -> db::Result<()> {
    let insert = Statement::in_schema(
        "-- shop::order
         INSERT INTO {schema}.kettle_orders (id, item) VALUES ($1::text::uuid, $2)
         ON CONFLICT (id) DO NOTHING",
        vec![Type::TEXT, Type::TEXT],
        SHOP.schema(shop),
    );
    let connection = shop.get().await?;
    connection.execute(&insert, &[&id, &item]).await?;
    Ok(())
}

/// Orders all that is in the outbox. It begins a run, too: the run before may have been killed.
async fn send(thread: &mut Thread<Shopper>, shop: &Database) -> anyhow::Result<()> {
    let mut state = thread.load().await?.unwrap_or_default();
    if state.outbox.is_empty() {
        return Ok(());
    }
    for (id, item) in &state.outbox {
        insert(shop, id, item).await?;
    }
    for (id, item) in std::mem::take(&mut state.outbox) {
        state.messages.push(format!("Ordered {item}: number {id}."));
    }
    thread.save(&state).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::connect(&settings::Settings::load()?).await?;
    SHOP.apply(&database).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;

    let mut thread = checkpointer.thread::<Shopper>("shopper-4712")?;
    send(&mut thread, &database).await?;
    let order = |state: &mut Shopper| {
        let id = Uuid::new_v4().to_string();
        state.outbox.insert(id, "a kettle".to_owned());
    };
    thread.update(order).await?;
    // A crash here leaves the order in the outbox, and the next run sends it.
    send(&mut thread, &database).await?;
    for message in thread.load().await?.unwrap_or_default().messages {
        println!("{message}");
    }

    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
