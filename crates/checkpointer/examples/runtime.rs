//! A graph runtime that holds `Arc<dyn Checkpointer>`: two steps, pending writes, and resume.
//!
//! The first step drafts each topic in a task of its own, the second joins the drafts. With
//! `--crash` the process dies as soon as the first draft is stored. The next run goes on from
//! there: it drafts the topics again that were under way, but not the one that is stored.
//!
//! ```text
//! cargo run --package checkpointer --example runtime -- newsletter-1 --crash
//! cargo run --package checkpointer --example runtime -- newsletter-1
//! ```
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use checkpointer::{
    ChannelValues, Checkpoint, CheckpointId, CheckpointTuple, Checkpointer, GetTuple, Metadata,
    PendingWrite, PostgresCheckpointer, Put, PutWrites, Source, TaskId, ThreadId,
};
use futures_util::future::try_join_all;
use serde_json::Value;

const TOPICS: [&str; 3] = ["weather", "traffic", "sports"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let thread_id = std::env::args().nth(1).context("name a thread")?;
    let crash = std::env::args().any(|arg| arg == "--crash");

    let database = db::Database::connect(&settings::Settings::load()?).await?;
    let runtime = Runtime {
        checkpointer: Arc::new(PostgresCheckpointer::setup(database.clone()).await?),
        crash,
    };
    let state = runtime.run(&ThreadId::new(thread_id)?).await?;
    println!("{}", state["newsletter"]);

    database.close(Duration::from_secs(10)).await?;
    Ok(())
}

struct Runtime {
    checkpointer: Arc<dyn Checkpointer>,
    crash: bool,
}

impl Runtime {
    /// Runs the graph on a thread, from wherever it stopped.
    async fn run(&self, thread_id: &ThreadId) -> checkpointer::Result<ChannelValues> {
        let head = self.checkpointer.get_tuple(GetTuple::head(thread_id)?);
        let mut at = match head.await? {
            Some(head) => head,
            None => self.start(thread_id).await?,
        };
        loop {
            let tasks = next_tasks(&at.checkpoint.channel_values)?;
            if tasks.is_empty() {
                return Ok(at.checkpoint.channel_values);
            }
            let stored = std::mem::take(&mut at.pending_writes);
            let writes = self.run_tasks(&at, stored, tasks).await?;
            at = self.step(&at, writes).await?;
        }
    }

    /// Stores the first checkpoint of a thread: its input.
    async fn start(&self, thread_id: &ThreadId) -> checkpointer::Result<CheckpointTuple> {
        let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
        let input = [("topics", Value::from(TOPICS))];
        let new_versions = checkpoint.write(&self.checkpointer, input);
        let metadata = Metadata::new(Source::Input, -1);
        let put = Put::new(thread_id, &checkpoint, &metadata).new_versions(&new_versions);
        // Expecting no head: of two processes that start the thread, one gets a `Conflict`.
        let stored = self.checkpointer.put(put.expect_no_head()).await?;
        Ok(CheckpointTuple::new(stored, checkpoint, metadata))
    }

    /// Runs a step's tasks side by side, but for those whose output is stored already. Each output
    /// is stored as soon as it is there.
    async fn run_tasks(
        &self,
        at: &CheckpointTuple,
        stored: Vec<PendingWrite>,
        tasks: Vec<Task>,
    ) -> checkpointer::Result<Vec<(String, Arc<Value>)>> {
        let done: BTreeSet<_> = stored.iter().map(|write| &write.task_id).collect();
        let running = tasks
            .into_iter()
            .map(async |task| -> checkpointer::Result<_> {
                if done.contains(&task.id) {
                    println!("{} is done already", task.id);
                    return Ok(Vec::new());
                }
                println!("{} runs", task.id);
                tokio::time::sleep(task.takes).await;
                let writes = vec![(task.channel, task.output)];
                let put = PutWrites::new(&at.address, &task.id, &writes);
                self.checkpointer.put_writes(put).await?;
                if self.crash {
                    println!("{} is stored, crashing", task.id);
                    std::process::abort();
                }
                Ok(writes)
            });
        let new = try_join_all(running).await?;
        let new = new.into_iter().flatten();
        let new = new.map(|(channel, output)| (channel, Arc::new(output)));
        let stored = stored.into_iter().map(|write| (write.channel, write.value));
        Ok(stored.chain(new).collect())
    }

    /// Stores the checkpoint that takes a step's outputs in.
    async fn step(
        &self,
        at: &CheckpointTuple,
        writes: Vec<(String, Arc<Value>)>,
    ) -> checkpointer::Result<CheckpointTuple> {
        let mut checkpoint = Checkpoint::child_of(at);
        let new_versions = checkpoint.write(&self.checkpointer, writes);
        let step = at.metadata.step().unwrap_or(-1) + 1;
        let metadata = Metadata::new(Source::Loop, step);
        let put = Put::after(&at.address, &checkpoint, &metadata).new_versions(&new_versions);
        let guarded = put.expect_head(&at.address.checkpoint_id);
        let stored = self.checkpointer.put(guarded).await?;
        Ok(CheckpointTuple::new(stored, checkpoint, metadata))
    }
}

/// One unit of a step's work. In a real agent its output comes from a model or a tool, which takes
/// its time.
struct Task {
    id: TaskId,
    takes: Duration,
    channel: String,
    output: Value,
}

/// The graph: what is to be done in a state. The same state always gives the same tasks.
fn next_tasks(state: &ChannelValues) -> checkpointer::Result<Vec<Task>> {
    let mut drafts = Vec::new();
    let mut tasks = Vec::new();
    let topics = state["topics"].as_array().into_iter().flatten();
    for topic in topics.filter_map(Value::as_str) {
        let channel = format!("draft:{topic}");
        match state.get(&channel) {
            Some(draft) => drafts.push(draft.clone()),
            None => tasks.push(Task {
                id: TaskId::new(channel.as_str())?,
                takes: Duration::from_millis(200 * (1 + tasks.len() as u64)),
                output: format!("Today's {topic}: as usual.").into(),
                channel,
            }),
        }
    }
    if tasks.is_empty() && !state.contains_key("newsletter") {
        tasks.push(Task {
            id: TaskId::new("newsletter")?,
            takes: Duration::ZERO,
            channel: "newsletter".to_owned(),
            output: drafts.into(),
        });
    }
    Ok(tasks)
}
