//! A program that works on a thread alone, and stops as soon as it isn't alone any more.
//!
//! ```text
//! cargo run --package checkpointer --example lease
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::db::Database;
use checkpointer::{PostgresCheckpointer, Thread, settings};

/// How long others wait if this program is killed.
const TTL: Duration = Duration::from_secs(30);

/// How long this program waits for another one.
const WAIT: Duration = Duration::from_secs(60);

async fn work(thread: &mut Thread<Vec<String>>) -> checkpointer::Result<()> {
    let mut messages = thread.load().await?.unwrap_or_default();
    messages.push("Where is my order?".to_owned());
    thread.save(&messages).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;

    let mut thread = checkpointer.thread("support-4711")?;
    let lost = thread.wait_for_lease(TTL, WAIT).await?.lost();
    tokio::select! {
        worked = work(&mut thread) => worked?,
        // Another program may be working on it now.
        lost = lost => return Err(lost.into()),
    }
    thread.release_lease().await?;
    println!("worked on {}", thread.thread_id());

    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
