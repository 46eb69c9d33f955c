//! A background job that lists threads and prunes them, every hour until Ctrl-C.
//!
//! A thread that rests for a day keeps its latest checkpoint only; after 90 days it is deleted. One
//! with `{"keep": true}` in its metadata stays as it is.
//!
//! ```text
//! cargo run --package checkpointer --example prune_threads
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::time::Duration;

use checkpointer::{
    Checkpointer, DeleteThread, ListThreads, PostgresCheckpointer, Prune, PruneStrategy,
};
use futures_util::TryStreamExt;

const EVERY: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;

    let job = tokio::spawn(prune_for_ever(checkpointer.clone()));
    tokio::signal::ctrl_c().await?;

    // Nothing is half done: a call under way goes on to its end, and `close` waits for it.
    job.abort();
    database.close(Duration::from_secs(10)).await?;
    Ok(())
}

async fn prune_for_ever(checkpointer: impl Checkpointer) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        match prune(&checkpointer).await {
            Ok((thinned, deleted)) => println!("{thinned} threads thinned, {deleted} deleted"),
            // The next round tries again.
            Err(error) => println!("{:#}", anyhow::Error::new(error)),
        }
    }
}

async fn prune(checkpointer: &dyn Checkpointer) -> checkpointer::Result<(u64, u64)> {
    let (mut thinned, mut deleted) = (0, 0);
    let mut threads = checkpointer.threads(ListThreads::all());
    while let Some(thread) = threads.try_next().await? {
        let rested = thread.updated_at.elapsed().unwrap_or_default();
        if rested < DAY || thread.metadata.get("keep").is_some_and(|keep| keep == true) {
            continue;
        }
        if rested < 90 * DAY {
            let prune = Prune::new([thread.thread_id], PruneStrategy::KeepLatest)?;
            checkpointer.prune(prune).await?;
            thinned += 1;
        } else {
            // Only the generation that was listed: a thread that was started again since stays. One
            // that a program goes on with at this moment is deleted all the same.
            let delete = DeleteThread::new(thread.thread_id)?.generation(thread.generation);
            checkpointer.delete_thread(delete).await?;
            deleted += 1;
        }
    }
    Ok((thinned, deleted))
}
