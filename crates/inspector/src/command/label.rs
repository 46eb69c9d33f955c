//! `label`

use checkpointer::serde_json::{Map, Value, json};
use checkpointer::{Checkpointer, ThreadId};

use super::confirm::Confirm;
use super::exit::{Failure, Outcome};
use super::output::Output;
use super::paint::{NAME, painted};
use super::{json_arg, value};

/// Set or remove members of a thread's metadata; without any, show it
///
/// `threads --metadata` finds threads by it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread
    #[arg(value_parser = |text: &str| ThreadId::new(text))]
    thread: ThreadId,
    /// What to set: `key=value`, or a JSON object. Other members stay
    #[arg(value_name = "MEMBERS", value_parser = json_arg::members)]
    set: Vec<Map<String, Value>>,
    /// Remove a member
    #[arg(long, value_name = "KEY")]
    remove: Vec<String>,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let thread = &args.thread;
    let mut metadata = read(checkpointer, thread).await?;
    if !args.set.is_empty() || !args.remove.is_empty() {
        let what = format!("change the metadata of thread `{thread}`");
        args.confirm.ask(&what).await?;
        let removed = args.remove.iter().map(|key| (key.clone(), Value::Null));
        let mut changes: Map<String, Value> = removed.collect();
        changes.extend(json_arg::joined(&args.set).unwrap_or_default());
        checkpointer.update_thread_metadata(thread, changes).await?;
        metadata = read(checkpointer, thread).await?;
    }
    if output.is_json() {
        output.json(&json!({ "thread_id": thread.as_str(), "metadata": metadata }))?;
        return Ok(Outcome::Done);
    }
    if metadata.is_empty() {
        output.line(format!("thread {thread} has no metadata"))?;
    }
    for (key, value) in &metadata {
        let value = value::short(value, 200);
        output.line(painted(NAME, key).and(": ").and(value))?;
    }
    Ok(Outcome::Done)
}

async fn read(
    checkpointer: &dyn Checkpointer,
    thread: &ThreadId,
) -> anyhow::Result<Map<String, Value>> {
    let info = checkpointer.thread_info(thread).await?;
    let info = info.ok_or_else(|| Failure::not_found(format!("there is no thread `{thread}`")))?;
    Ok(info.metadata)
}
