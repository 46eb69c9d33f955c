//! `watch`

use std::time::SystemTime;

use checkpointer::futures_util::StreamExt;
use checkpointer::serde_json::json;
use checkpointer::{CheckpointNs, Checkpointer, HeadChange, ThreadId, Watch};

use super::exit::Outcome;
use super::output::Output;
use super::paint::{ID, MARK, Text, painted};

/// Print each new head as it is put, until Ctrl-C
///
/// Of one thread it begins with the heads that there are; of all, with what changes from now on.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread; all threads if there is none
    #[arg(value_parser = |text: &str| ThreadId::new(text))]
    thread: Option<ThreadId>,
    /// Only this namespace; `""` is the root graph's
    #[arg(long = "ns", value_name = "NAMESPACE", value_parser = |text: &str| CheckpointNs::new(text))]
    checkpoint_ns: Option<CheckpointNs>,
    /// End after so many changes
    #[arg(long, short = 'n', value_name = "COUNT")]
    limit: Option<usize>,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let mut watch = match &args.thread {
        Some(thread) => Watch::thread(thread)?,
        None => Watch::all(),
    };
    watch.checkpoint_ns = args.checkpoint_ns.clone();
    let changes = checkpointer.watch(watch).await?;
    let mut changes = changes.take(args.limit.unwrap_or(usize::MAX));
    while let Some(change) = changes.next().await {
        print(&change?, output)?;
        output.flush()?;
    }
    Ok(Outcome::Done)
}

fn print(change: &HeadChange, output: &mut Output) -> anyhow::Result<()> {
    let at = inspector::json::time(SystemTime::now());
    let thread = change.thread_id().as_str();
    if output.is_json() {
        return output.json(&match change {
            HeadChange::Moved(head) => {
                json!({ "seen_at": at, "moved": inspector::json::address(head) })
            }
            HeadChange::Deleted { generation, .. } => json!({
                "seen_at": at,
                "deleted": { "thread_id": thread, "generation": generation.0 },
            }),
            _ => json!({ "seen_at": at, "changed": { "thread_id": thread } }),
        });
    }
    let line = Text::from(format!("{at}  thread ")).and(painted(ID, thread));
    output.line(match change {
        HeadChange::Moved(head) => {
            let line = line.and("  head ").and(painted(ID, &head.checkpoint_id));
            match head.checkpoint_ns.is_root() {
                true => line,
                false => line.and("  namespace ").and(&head.checkpoint_ns),
            }
        }
        _ => line.and("  ").and(painted(MARK, "deleted")),
    })
}
