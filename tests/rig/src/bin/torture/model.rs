//! Operations at random, with the same answers in PostgreSQL and in memory.

use anyhow::Context as _;
use checkpointer::PostgresCheckpointer;
use checkpointer_suite::model::operations;
use db::Database;
use rig::{PrivateServer, settings_for};

/// How many operations there are on the same threads.
const IN_ONE_RUN: usize = 2_000;

pub(crate) async fn model(operations: usize, seed: u64) -> anyhow::Result<Vec<String>> {
    println!("\n{operations} operations with the same answers in PostgreSQL and in memory");
    let server = PrivateServer::start(&[]).await?;
    let database = Database::connect(&settings_for(&server.url(), &[])).await?;
    let checkpointer = PostgresCheckpointer::setup(database).await?;
    let mut violations = Vec::new();
    let mut left = operations;
    for seed in seed.. {
        if left == 0 {
            break;
        }
        let steps = left.min(IN_ONE_RUN);
        left -= steps;
        let checkpointer = checkpointer.clone();
        let run = tokio::spawn(async move {
            operations::carry_out(&checkpointer, seed, steps).await;
        });
        if let Err(panicked) = run.await {
            let why = panicked.into_panic();
            let why = why.downcast_ref::<String>().context("a run has panicked")?;
            violations.push(why.clone());
        }
        eprintln!("  {} operations", operations - left);
    }
    Ok(violations)
}
