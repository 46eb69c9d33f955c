//! A worker that applies two retention policies to all threads, every hour until Ctrl-C.
//!
//! ```text
//! cargo run --package checkpointer --example retention
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::serde_json::{Map, json};
use checkpointer::{Checkpointer, PostgresCheckpointer, Prune, Retention, db, settings};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;

    // Two policies that no thread has both of.
    let trial = Map::from_iter([("plan".to_owned(), json!("trial"))]);
    let policies = [
        Retention::keep_last(1)
            .delete_after(7 * DAY)
            .only(trial.clone()),
        Retention::keep_last(10)
            .newer_than(30 * DAY)
            .delete_after(365 * DAY)
            .except(trial),
    ];
    for policy in &policies {
        let would_go = checkpointer
            .prune(Prune::due(policy.clone()).dry_run(true))
            .await?;
        println!(
            "{} threads and {} bytes would go",
            would_go.threads, would_go.bytes
        );
    }

    let worker = checkpointer.retention(policies).on_progress(|report| {
        let removed = &report.removed;
        println!(
            "looked at {} threads, deleted {}",
            removed.examined, removed.threads
        );
        for failed in &removed.failed {
            println!("{}: {}", failed.thread_id, failed.error);
        }
    });
    let worker = worker.run_every(HOUR);
    tokio::signal::ctrl_c().await?;

    // A step that was sent goes on to its end, and `close` waits for it.
    worker.stop().await;
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
