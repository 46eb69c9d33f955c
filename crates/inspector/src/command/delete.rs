//! `delete`

use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, DeleteThread, ThreadId, ThreadInfo};

use super::confirm::Confirm;
use super::exit::Outcome;
use super::named;
use super::output::Output;
use super::progress::Progress;

/// How many threads the question names.
const NAMED: usize = 10;

/// Delete threads with everything in them
///
/// If one of them isn't there, none is deleted. A thread that is deleted and started again while the
/// question waits stays.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The threads
    #[arg(required = true, value_name = "THREAD", value_parser = |text: &str| ThreadId::new(text))]
    threads: Vec<ThreadId>,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let threads = named::find(checkpointer, &args.threads).await?;
    args.confirm.ask(&question(&threads)).await?;
    let progress = match threads.len() {
        1 => Progress::begin("deleting"),
        several => Progress::of("deleting", several as u64),
    };
    for thread in &threads {
        let delete = DeleteThread::new(&thread.thread_id)?.generation(thread.generation);
        checkpointer.delete_thread(delete).await?;
        progress.add(1);
        progress.beside(|| print(&thread.thread_id, output))?;
    }
    Ok(Outcome::Done)
}

/// What is asked, without its sign.
fn question(threads: &[ThreadInfo]) -> String {
    let mut names: Vec<String> = (threads.iter().take(NAMED))
        .map(|thread| format!("`{}`", thread.thread_id))
        .collect();
    if let more @ 1.. = threads.len() - names.len() {
        names.push(format!("{more} more"));
    }
    match threads.len() {
        1 => format!("delete thread {} with everything in it", names[0]),
        several => {
            let names = names.join(", ");
            format!("delete {several} threads with everything in them: {names}")
        }
    }
}

fn print(thread_id: &ThreadId, output: &mut Output) -> anyhow::Result<()> {
    match output.is_json() {
        true => output.json(&json!({ "deleted": thread_id.as_str() })),
        false => output.line(format!("deleted thread {thread_id}")),
    }
}
