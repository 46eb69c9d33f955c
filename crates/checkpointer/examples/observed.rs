//! Saves a state, and shows what is seen of that from outside.
//!
//! ```text
//! export DATABASE_URL=postgres://…
//! RUST_LOG=info,checkpointer=debug cargo run --package checkpointer --example observed
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::{PostgresCheckpointer, db, settings};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Both before the database is connected. A span is a line of the log when it ends.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into()))
        .with_span_events(FmtSpan::CLOSE)
        .init();
    let seconds = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0];
    let writes = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
    let prometheus = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .set_buckets_for_metric(Matcher::Suffix("_writes".to_owned()), &writes)?
        .install_recorder()?;

    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    let mut thread = checkpointer.thread::<Vec<String>>("observed-4711")?;
    let mut messages = thread.load().await?.unwrap_or_default();
    messages.push("Where is my order?".to_owned());
    thread.save(&messages).await?;
    // The gauges of the tables are set by this. A service calls it every minute, in one of its programs.
    checkpointer.schema_size().await?;
    database.close(Duration::from_secs(10)).await?;

    // A service answers `GET /metrics` with this, and calls `run_upkeep` every few seconds.
    println!("{}", prometheus.render());
    Ok(())
}
