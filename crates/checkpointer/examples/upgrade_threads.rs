//! Carries all threads to a new version of their state, and says which it couldn't.
//!
//! Programs of the new version may run meanwhile. Those of the old one must have ended: they can't read the
//! new version.
//!
//! ```text
//! cargo run --package checkpointer --example upgrade_threads
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::{Duration, SystemTime};

use checkpointer::serde_json::{Result as Upgraded, Value, json};
use checkpointer::{
    Checkpointer, Error, ListThreads, PostgresCheckpointer, ThreadId, db, settings,
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};

/// The state as it is now: version 1. Before, it had one `question`.
#[derive(Serialize, Deserialize)]
struct Support {
    messages: Vec<String>,
}

fn upgrade(_from: u32, mut state: Value) -> Upgraded<Value> {
    let fields = state.as_object_mut();
    let question = fields.and_then(|fields| fields.remove("question"));
    state["messages"] = json!([question]);
    Ok(state)
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    upgrade_all(&checkpointer).await?;
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}

/// Upgrades what was saved before now: what is saved from now on has the new version. It may be stopped
/// at any moment, and run again.
async fn upgrade_all(checkpointer: &PostgresCheckpointer) -> checkpointer::Result<()> {
    let query = ListThreads::all()
        .oldest_first()
        .changed_before(SystemTime::now());
    let mut threads = checkpointer.threads(query);
    let (mut upgraded, mut failed) = (0, 0);
    while let Some(thread) = threads.try_next().await? {
        match upgrade_one(checkpointer, &thread.thread_id).await {
            Ok(is_upgraded) => upgraded += u64::from(is_upgraded),
            Err(Error::Closed) => return Err(Error::Closed),
            // One that doesn't fit, or that another program has a lease on, doesn't keep the others.
            Err(error) => {
                failed += 1;
                println!("{}: {}", thread.thread_id, error.for_log());
            }
        }
    }
    println!("{upgraded} threads upgraded, {failed} failed");
    Ok(())
}

async fn upgrade_one(
    checkpointer: &PostgresCheckpointer,
    thread_id: &ThreadId,
) -> checkpointer::Result<bool> {
    let thread = checkpointer.thread::<Support>(thread_id)?;
    thread.versioned(1, upgrade).upgrade().await
}
