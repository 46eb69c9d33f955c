//! `delete`

use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, DeleteThread, ThreadId};

use super::confirm::Confirm;
use super::exit::{Failure, Outcome};
use super::output::Output;
use super::progress::Progress;

/// Delete a thread with everything in it
///
/// A thread that is deleted and started again while the question waits stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The thread
    #[arg(value_parser = |text: &str| ThreadId::new(text))]
    thread: ThreadId,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let thread = &args.thread;
    let info = checkpointer.thread_info(thread).await?;
    let info = info.ok_or_else(|| Failure::not_found(format!("there is no thread `{thread}`")))?;
    args.confirm
        .ask(&format!("delete thread `{thread}` with everything in it"))
        .await?;
    let delete = DeleteThread::new(thread)?.generation(info.generation);
    let progress = Progress::begin("deleting");
    checkpointer.delete_thread(delete).await?;
    drop(progress);
    if output.is_json() {
        output.json(&json!({ "deleted": thread.as_str() }))?;
    } else {
        output.line("deleted")?;
    }
    Ok(Outcome::Done)
}
