//! `copy`

use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, ThreadId};

use super::confirm::Confirm;
use super::exit::Outcome;
use super::output::Output;

/// Copy a thread, with all its checkpoints and pending writes, to a new thread
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread to copy
    #[arg(value_parser = |text: &str| ThreadId::new(text))]
    source: ThreadId,
    /// The new thread
    #[arg(value_parser = |text: &str| ThreadId::new(text))]
    target: ThreadId,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let Args {
        source,
        target,
        confirm,
    } = args;
    confirm
        .ask(&format!("copy thread `{source}` to `{target}`"))
        .await?;
    checkpointer.copy_thread(source, target).await?;
    if output.is_json() {
        output.json(&json!({ "source": source.as_str(), "target": target.as_str() }))?;
    } else {
        output.line("copied")?;
    }
    Ok(Outcome::Done)
}
