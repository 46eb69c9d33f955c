//! `run`: one process's part of an audit, told line by line on the standard output.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use checkpointer::{Checkpointer, GetTuple, Projection, ThreadId};
use options::demo::{DEFAULT_TASKS, task_count};
use tokio::task::spawn_blocking;

use crate::agent::{self, Gate};
use crate::{event, tree};

/// Starts an audit, or continues it from wherever it stopped.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread that is the audit's memory
    #[arg(long)]
    pub(crate) thread: String,
    /// The folder to audit, where the audit is to start
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// The number of tasks to cut the work into, at most
    #[arg(long, default_value_t = DEFAULT_TASKS, value_parser = task_count)]
    pub(crate) tasks: usize,
    /// The answer to the question the audit stopped at
    #[arg(long)]
    pub(crate) answer: Option<Answer>,
    /// Hold all audit tasks but this many in flight, so that the process can be killed then
    #[arg(long)]
    pub(crate) hold_after: Option<usize>,
}

/// What a person says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Answer {
    /// Publish it
    Yes,
    /// Don't
    No,
}

/// Runs the graph until it ends or has a question.
pub(crate) async fn run(checkpointer: Arc<dyn Checkpointer>, args: Args) -> Result<ExitCode> {
    let thread_id = ThreadId::new(args.thread)?;
    let head = GetTuple::head(&thread_id)?.project(Projection::Metadata);
    let begun = checkpointer.get_tuple(head).await?.is_some();
    let gate = args.hold_after.map_or_else(Gate::open, Gate::shut_after);
    let graph = agent::graph(checkpointer, gate, event::print);
    if !begun {
        let dir = (args.dir).context("name the folder to audit with --dir")?;
        let root = tree::folder(&dir)?;
        let counted = root.clone();
        spawn_blocking(move || tree::count(&counted)).await??;
        let input = agent::input(&root, args.tasks);
        graph.start(&thread_id, input).await?;
    }
    let answer = args.answer.map(|answer| (answer == Answer::Yes).into());
    graph.resume(&thread_id, answer).await?;
    Ok(ExitCode::SUCCESS)
}
