//! A program that serves several tenants over one pool: each has its threads in a schema of its own,
//! and the program's own tables lie in another.
//!
//! ```text
//! cargo run --package checkpointer --example tenants -- acme globex
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::db::{Database, GenericClient, Migration, Migrations, Statement, Type};
use checkpointer::{PostgresCheckpointer, PostgresOptions, Result, settings};

const BILLING: Migrations = Migrations::new(
    "billing",
    &[Migration {
        number: 1,
        name: "questions",
        sql: "CREATE TABLE {schema}.questions (
            tenant text NOT NULL,
            asked_at timestamptz NOT NULL DEFAULT now()
        )",
    }],
);

/// The checkpointer of a tenant. It lasts as long as the program works for the tenant.
async fn open(database: &Database, tenant: &str) -> Result<PostgresCheckpointer> {
    let database = database.in_schema(&format!("tenant_{tenant}"))?;
    // Each checkpointer has a cache of its own.
    let options = PostgresOptions::default().cache_bytes(8 << 20);
    options.setup(database).await
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::connect(&settings::Settings::load()?).await?;
    let billing = database.in_schema("billing")?;
    BILLING.apply(&billing).await?;
    let count = Statement::in_schema(
        "-- billing::count
         INSERT INTO {schema}.questions (tenant) VALUES ($1)",
        vec![Type::TEXT],
        BILLING.schema(&billing),
    );

    for tenant in std::env::args().skip(1) {
        let checkpointer = open(&database, &tenant).await?;
        let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
        let mut messages = thread.load().await?.unwrap_or_default();
        messages.push("Where is my order?".to_owned());
        let asked: Result<()> = database
            .transaction(async |tx| {
                tx.execute(&count, &[&tenant]).await?;
                thread.save_within(tx, &messages).await?;
                Ok(())
            })
            .await;
        asked?;
        println!("{tenant}: {} messages", messages.len());
    }

    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
