//! Prints each new head of a thread, or of all threads, until Ctrl-C.
//!
//! ```text
//! cargo run --package checkpointer --example watch -- support-4711
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::futures_util::{StreamExt, TryStreamExt};
use checkpointer::{Checkpointer, HeadChange, PostgresCheckpointer, Watch, db, settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    let watch = match std::env::args().nth(1) {
        Some(thread_id) => Watch::thread(thread_id)?,
        None => Watch::all(),
    };
    let changes = checkpointer.watch(watch).await?;
    let mut changes = changes.take_until(Box::pin(tokio::signal::ctrl_c()));
    while let Some(change) = changes.try_next().await? {
        match change {
            HeadChange::Moved(head) => println!("{}: {}", head.thread_id, head.checkpoint_id),
            deleted => println!("{}: deleted", deleted.thread_id()),
        }
    }
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
