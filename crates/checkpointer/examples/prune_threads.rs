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
    Checkpointer, DeleteThread, Error, ListThreads, PostgresCheckpointer, Prune, PruneStrategy,
    Removed, ThreadId, ThreadInfo,
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
        // What isn't done is tried again in the next round.
        if let Err(error) = prune(&checkpointer).await {
            println!("{:#}", anyhow::Error::new(error));
        }
    }
}

/// A thread that fails, such as one with a lease on it, doesn't keep the others.
async fn prune(checkpointer: &dyn Checkpointer) -> checkpointer::Result<()> {
    let Rested { thin, delete } = rested(checkpointer).await?;
    let thinned = checkpointer.prune(Prune::new(thin, PruneStrategy::KeepLatest)?);
    report("thinned", thinned.await?);
    let mut deleted = 0;
    for thread in delete {
        // Only the generation that was listed: a thread that was started again since stays. One that a
        // program goes on with at this moment is deleted all the same.
        let delete = DeleteThread::new(&thread.thread_id)?.generation(thread.generation);
        match checkpointer.delete_thread(delete).await {
            Ok(()) => deleted += 1,
            Err(Error::Closed) => return Err(Error::Closed),
            Err(error) => println!("{}: {:#}", thread.thread_id, anyhow::Error::new(error)),
        }
    }
    println!("{deleted} threads deleted");
    Ok(())
}

/// The threads that have rested, the oldest first.
#[derive(Default)]
struct Rested {
    thin: Vec<ThreadId>,
    delete: Vec<ThreadInfo>,
}

/// Lists them. The list has the newest threads first, so it is read to its end before anything is
/// removed: if a round is cut short, the oldest threads are done.
async fn rested(checkpointer: &dyn Checkpointer) -> checkpointer::Result<Rested> {
    let mut rested = Rested::default();
    let mut threads = checkpointer.threads(ListThreads::all());
    while let Some(thread) = threads.try_next().await? {
        let rests_for = thread.updated_at.elapsed().unwrap_or_default();
        if rests_for < DAY || thread.metadata.get("keep").is_some_and(|keep| keep == true) {
            continue;
        }
        match rests_for < 90 * DAY {
            true => rested.thin.push(thread.thread_id),
            false => rested.delete.push(thread),
        }
    }
    rested.thin.reverse();
    rested.delete.reverse();
    Ok(rested)
}

fn report(what: &str, removed: Removed) {
    println!(
        "{} checkpoints {what}, {} writes",
        removed.checkpoints, removed.writes
    );
    for failed in removed.failed {
        let error = anyhow::Error::new(failed.error);
        println!("{}: {error:#}", failed.thread_id);
    }
    if !removed.untried.is_empty() {
        println!("{} threads were not tried", removed.untried.len());
    }
}
