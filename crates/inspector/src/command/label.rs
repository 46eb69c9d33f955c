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
    let changes = args.changes()?;
    let mut metadata = read(checkpointer, thread).await?;
    if !changes.is_empty() {
        let what = format!("change the metadata of thread `{thread}`");
        args.confirm.ask(&what).await?;
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

impl Args {
    /// What becomes of which members: those that are null go.
    fn changes(&self) -> anyhow::Result<Map<String, Value>> {
        let removed = self.remove.iter().map(|key| (key.clone(), Value::Null));
        let removed = Map::from_iter(removed);
        let all = [self.set.as_slice(), &[removed]].concat();
        Ok(json_arg::joined("label", &all)?.unwrap_or_default())
    }
}

async fn read(
    checkpointer: &dyn Checkpointer,
    thread: &ThreadId,
) -> anyhow::Result<Map<String, Value>> {
    let info = checkpointer.thread_info(thread).await?;
    let info = info.ok_or_else(|| Failure::not_found(format!("there is no thread `{thread}`")))?;
    Ok(info.metadata)
}
