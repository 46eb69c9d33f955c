//! `verify`

use checkpointer::futures_util::TryStreamExt;
use checkpointer::serde_json::json;
use checkpointer::{CheckpointAddress, Checkpointer, Error, GetTuple, List, Projection, ThreadId};
use inspector::visible;

use super::exit::Outcome;
use super::output::Output;
use super::paint::{ID, MARK, Painted};
use super::pick::Pick;
use super::progress::Progress;

/// Read every checkpoint of threads, and report those that can't be read
///
/// Exits with 1 if there are any. It reads all states, one after the other.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The threads; those that the options pick if there are none
    #[arg(value_name = "THREAD", value_parser = |text: &str| ThreadId::new(text))]
    threads: Vec<ThreadId>,
    #[command(flatten)]
    pick: Pick,
}

/// What was found so far.
#[derive(Default)]
struct Findings {
    threads: u64,
    checkpoints: u64,
    damaged: u64,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let progress = Progress::begin("reading");
    let mut findings = Findings::default();
    if args.threads.is_empty() {
        let mut threads = checkpointer.threads(args.pick.query());
        while let Some(thread) = threads.try_next().await? {
            let id = &thread.thread_id;
            verify(checkpointer, id, &mut findings, &progress, output).await?;
        }
    }
    for thread in &args.threads {
        verify(checkpointer, thread, &mut findings, &progress, output).await?;
    }
    drop(progress);
    findings.print(output)
}

async fn verify(
    checkpointer: &dyn Checkpointer,
    thread: &ThreadId,
    findings: &mut Findings,
    progress: &Progress,
    output: &mut Output,
) -> anyhow::Result<()> {
    findings.threads += 1;
    let list = List::thread(thread)?.project(Projection::Metadata);
    let mut checkpoints = checkpointer.list(list);
    while let Some(checkpoint) = checkpoints.try_next().await? {
        findings.checkpoints += 1;
        let (threads, checkpoints) = (findings.threads, findings.checkpoints);
        progress.note(format!("{threads} threads, {checkpoints} checkpoints"));
        match checkpointer
            .get_tuple(GetTuple::at(&checkpoint.address))
            .await
        {
            Ok(_) => {}
            Err(error @ Error::Corrupt { .. }) => {
                findings.damaged += 1;
                print(&checkpoint.address, &error, output)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn print(address: &CheckpointAddress, error: &Error, output: &mut Output) -> anyhow::Result<()> {
    let what = error.to_string();
    if output.is_json() {
        let at = inspector::json::address(address);
        return output.json(&json!({ "damaged": at, "what": what }));
    }
    let id = visible(address.checkpoint_id.as_str());
    let damaged = Painted(MARK, "damaged");
    output.line(format!(
        "{damaged}: checkpoint {}: {}",
        Painted(ID, id),
        visible(&what)
    ))
}

impl Findings {
    fn print(&self, output: &mut Output) -> anyhow::Result<Outcome> {
        let Self {
            threads,
            checkpoints,
            damaged,
        } = self;
        if output.is_json() {
            let found =
                json!({ "threads": threads, "checkpoints": checkpoints, "damaged": damaged });
            output.json(&json!({ "read": found }))?;
        } else {
            output.line(format!(
                "{checkpoints} checkpoints of {threads} threads were read, {damaged} of them are damaged"
            ))?;
        }
        Ok(match damaged {
            0 => Outcome::Done,
            _ => Outcome::Failed,
        })
    }
}
