//! A worker. Start as many as you like, and kill them as you like:
//!
//! ```text
//! cargo run --package workers -- add customer-4711 "my order"
//! cargo run --package workers
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::env;
use std::time::Duration;

use checkpointer::PostgresCheckpointer;
use db::Database;
use settings::Settings;
use workers::{Queue, Worker};

/// A worker that dies is followed by another one after this time; the work may take longer.
const TTL: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::connect(&Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
    let queue = Queue::setup(database.clone()).await?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["add", thread_id, question] => queue.add(thread_id, question).await?,
        [] => {
            let worker = Worker {
                database: database.clone(),
                checkpointer,
                queue,
                ttl: TTL,
            };
            tokio::select! {
                ended = worker.run(|job, event| println!("job {}: {event:?}", job.id)) => ended?,
                stopped = tokio::signal::ctrl_c() => stopped?,
            }
        }
        _ => anyhow::bail!("usage: workers [add <thread> <question>]"),
    }
    // Waits until a lease that was held is given back.
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}
