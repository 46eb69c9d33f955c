//! Moves the threads of LangGraph's PostgreSQL saver to a checkpointer in the same database. The first
//! argument is the schema of LangGraph's tables, by default `public`.
//!
//! ```text
//! DATABASE_URL=postgres://… cargo run --release --package langgraph --example import
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::{Duration, Instant};

use checkpointer::{Checkpointer, PostgresCheckpointer};
use langgraph::Import;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let settings = settings::Settings::load()?;
    let database = db::Database::connect(&settings).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;

    let schema = std::env::args().nth(1).unwrap_or("public".to_owned());
    let started = Instant::now();
    let import = Import::new(database.clone()).schema(schema);
    let mut threads = 0;
    let report = import
        .run_with(&checkpointer, |report| {
            if report.threads >= threads + 100 {
                threads = report.threads;
                println!("{threads} threads, {} checkpoints", report.checkpoints);
            }
        })
        .await?;

    println!(
        "imported {} checkpoints and {} pending writes of {} threads, of which {} were there already, \
         in {:.1?}; {} values aren't readable",
        report.checkpoints,
        report.writes,
        report.threads,
        report.present,
        started.elapsed(),
        report.opaque,
    );
    for loss in &report.losses {
        println!("not imported: {loss}");
    }
    checkpointer.close().await?;
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
