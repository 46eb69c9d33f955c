//! Reads everything that is stored, and says what is wrong with it.
//!
//! ```text
//! cargo run --package checkpointer --example verify
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::futures_util::TryStreamExt;
use checkpointer::{Checkpointer, PostgresCheckpointer, Verify, db, settings};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    let mut threads = checkpointer.verify(Verify::all());
    while let Some(thread) = threads.try_next().await? {
        for finding in &thread.findings {
            println!("{}: {}: {}", thread.thread_id, finding.kind, finding.what);
            println!("  {}", finding.kind.advice());
        }
        if !thread.is_sound() {
            println!("{} is damaged", thread.thread_id);
        }
    }
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
