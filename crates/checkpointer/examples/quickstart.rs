//! Saves and loads a typed state. Run it twice: the second run finds what the first one saved.
//!
//! ```text
//! DATABASE_URL=postgres://… cargo run --package checkpointer --example quickstart
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::{PostgresCheckpointer, db, settings};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Support {
    messages: Vec<String>,
    escalated: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = settings::Settings::load()?;
    let database = db::Database::connect(&settings).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;

    let mut thread = checkpointer.thread::<Support>("support-4711")?;
    let mut state = thread.load().await?.unwrap_or_default();
    println!("messages so far: {}", state.messages.len());

    state.messages.push("Where is my order?".to_owned());
    state.escalated = state.messages.len() > 2;
    let saved = thread.save(&state).await?;
    println!("saved checkpoint {}", saved.checkpoint_id);

    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
