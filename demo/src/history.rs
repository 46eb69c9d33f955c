//! `show`: what a thread remembers.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use checkpointer::{
    CheckpointId, CheckpointTuple, Checkpointer, GetTuple, List, Projection, ThreadId,
};
use futures_util::TryStreamExt;

use crate::agent;
use crate::branches;
use crate::graph::NEXT;
use crate::summary::Scope;
use crate::table::Table;

/// Shows an audit's history and its report.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread that is the audit's memory
    #[arg(long)]
    thread: String,
}

/// Prints the history of a thread and the report of its head.
pub(crate) async fn run(checkpointer: Arc<dyn Checkpointer>, args: Args) -> Result<ExitCode> {
    let thread_id = ThreadId::new(args.thread)?;
    let head = (checkpointer.get_tuple(GetTuple::head(&thread_id)?).await?)
        .with_context(|| format!("there is no thread `{thread_id}`"))?;
    writeln!(
        stdout(),
        "{}",
        table(&list(&checkpointer, &thread_id).await?)
    )?;
    let state = &head.checkpoint.channel_values;
    match agent::read::<String>(state, agent::REPORT) {
        Ok(report) => writeln!(stdout(), "{report}")?,
        Err(_) => writeln!(
            stdout(),
            "no report yet; next is {}",
            state.get(NEXT).unwrap_or(&"nothing".into())
        )?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Lists the checkpoints of a thread, the newest first, with no other value than the scope.
pub(crate) async fn list(
    checkpointer: &Arc<dyn Checkpointer>,
    thread_id: &ThreadId,
) -> Result<Vec<CheckpointTuple>> {
    let list =
        List::thread(thread_id)?.project(Projection::Channels(vec![agent::SCOPE.to_owned()]));
    Ok(checkpointer.list(list).try_collect().await?)
}

/// The history as a table, in which forks are drawn.
pub(crate) fn table(history: &[CheckpointTuple]) -> Table {
    let mut table = Table::new(&["", "Step", "Source", "Checkpoint", "Node", "What changed"]);
    for (tuple, branches) in history.iter().zip(branches::drawings(history)) {
        let text = |key| tuple.metadata.get(key).and_then(|value| value.as_str());
        let changed = tuple.checkpoint.updated_channels.iter().flatten();
        let changed: Vec<_> = changed
            .filter(|channel| *channel != NEXT)
            .map(|channel| {
                let scope = agent::read::<Scope>(&tuple.checkpoint.channel_values, channel);
                scope.map_or_else(|_| channel.clone(), |scope| format!("{channel}: {scope}"))
            })
            .collect();
        table.row([
            branches,
            tuple.metadata.step().unwrap_or_default().to_string(),
            text("source").unwrap_or_default().to_owned(),
            tuple.address.checkpoint_id.to_string(),
            text("node").unwrap_or("-").to_owned(),
            changed.join(", "),
        ]);
    }
    table
}

/// The checkpoints from `leaf` up to the first one, by their parents.
pub(crate) fn branch<'a>(
    history: &'a [CheckpointTuple],
    leaf: &CheckpointId,
) -> Vec<&'a CheckpointTuple> {
    let find = |id: &CheckpointId| {
        let mut history = history.iter();
        history.find(|tuple| tuple.address.checkpoint_id == *id)
    };
    std::iter::successors(find(leaf), |tuple| {
        find(&tuple.parent_address.as_ref()?.checkpoint_id)
    })
    .collect()
}
