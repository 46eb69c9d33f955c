//! `verify`

use checkpointer::futures_util::TryStreamExt;
use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, Finding, ListThreads, ThreadId, VerifiedThread, Verify};

use super::exit::{Failure, Outcome};
use super::output::Output;
use super::paint::{FAINT, ID, MARK, NAME, Text, painted};
use super::pick::Pick;
use super::progress::Progress;
use super::{count, stderr};

/// Read everything of threads, and report what is wrong with it
///
/// Exits with 1 if something is damaged and wasn't repaired, and else with 3 if one of the named threads
/// isn't there. What only takes room is reported, and is no damage.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The threads; those that the options pick if there are none, and otherwise all, also those that
    /// no list shows
    #[arg(value_name = "THREAD", value_parser = |text: &str| ThreadId::new(text))]
    threads: Vec<ThreadId>,
    /// Repair what can be repaired without loss
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    pick: Pick,
}

/// What was read and found so far.
#[derive(Default)]
struct Totals {
    threads: u64,
    checkpoints: u64,
    pending_writes: u64,
    chunks: u64,
    damaged: u64,
    repaired: u64,
}

/// A run of the command.
struct Run<'a> {
    checkpointer: &'a dyn Checkpointer,
    repair: bool,
    totals: Totals,
    progress: Progress,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let mut run = Run {
        checkpointer,
        repair: args.repair,
        totals: Totals::default(),
        progress: Progress::begin("reading"),
    };
    let picked = args.pick.query()?;
    let mut missing = Vec::new();
    if !args.threads.is_empty() {
        for thread_id in &args.threads {
            let before = run.totals.threads;
            run.verify(Verify::thread(thread_id)?, output).await?;
            if run.totals.threads == before {
                missing.push(format!("`{thread_id}`"));
            }
        }
    } else if picks(&picked) {
        let mut threads = checkpointer.threads(picked);
        while let Some(thread) = threads.try_next().await? {
            let verify = Verify::thread(&thread.thread_id)?;
            run.verify(verify, output).await?;
        }
    } else {
        run.verify(Verify::all(), output).await?;
    }
    let Run {
        totals, progress, ..
    } = run;
    drop(progress);
    let outcome = totals.print(output)?;
    if missing.is_empty() {
        return Ok(outcome);
    }
    let missing = missing.join(", ");
    let missing = Failure::not_found(format!("no such thread, or it was deleted: {missing}"));
    match outcome {
        Outcome::Done => Err(missing),
        // The exit code tells of the damage.
        damage => {
            stderr::report(&missing);
            Ok(damage)
        }
    }
}

/// Whether only some threads are asked for.
fn picks(query: &ListThreads) -> bool {
    query.filter.is_some()
        || query.state.is_some()
        || query.changed_after.is_some()
        || query.changed_before.is_some()
}

impl Run<'_> {
    async fn verify(&mut self, verify: Verify, output: &mut Output) -> anyhow::Result<()> {
        let mut threads = self.checkpointer.verify(verify.repair(self.repair));
        while let Some(thread) = threads.try_next().await? {
            self.totals.add(&thread);
            self.progress.note(self.totals.read());
            self.progress.beside(|| print_thread(&thread, output))?;
        }
        Ok(())
    }
}

fn print_thread(thread: &VerifiedThread, output: &mut Output) -> anyhow::Result<()> {
    for finding in &thread.findings {
        print(&thread.thread_id, finding, output)?;
    }
    match thread.further {
        0 => Ok(()),
        _ => print_further(thread, output),
    }
}

/// Tells of the findings that weren't kept.
fn print_further(thread: &VerifiedThread, output: &mut Output) -> anyhow::Result<()> {
    let VerifiedThread {
        thread_id,
        further,
        further_damage,
        ..
    } = thread;
    if output.is_json() {
        return output.json(&json!({ "further": {
            "thread_id": thread_id.as_str(), "findings": further, "damage": further_damage,
        } }));
    }
    let more = match further_damage {
        0 => format!(": and {further} more"),
        _ => format!(": and {further} more, of which {further_damage} are damage"),
    };
    output.line(painted(ID, thread_id).and(more))
}

fn print(thread_id: &ThreadId, finding: &Finding, output: &mut Output) -> anyhow::Result<()> {
    let kind = finding.kind;
    if output.is_json() {
        return output.json(&json!({ "finding": {
            "kind": kind.as_str(),
            "thread_id": thread_id.as_str(),
            "checkpoint_ns": finding.checkpoint_ns.as_ref().map(|ns| ns.as_str()),
            "checkpoint_id": finding.checkpoint_id.as_ref().map(|id| id.as_str()),
            "what": finding.what,
            "damage": kind.is_damage(),
            "repaired": finding.repaired,
            "advice": kind.advice(),
        } }));
    }
    let style = if kind.is_damage() { MARK } else { NAME };
    let found = painted(ID, thread_id).and(" ").and(painted(style, kind));
    output.line(found.and(": ").and(&finding.what))?;
    let advice = match finding.repaired {
        true => "repaired",
        false => kind.advice(),
    };
    output.line(Text::from("  ").and(painted(FAINT, advice)))
}

impl Totals {
    fn add(&mut self, thread: &VerifiedThread) {
        self.threads += 1;
        self.checkpoints += thread.checkpoints;
        self.pending_writes += thread.pending_writes;
        self.chunks += thread.chunks;
        self.damaged += u64::from(!thread.is_sound());
        self.repaired += thread
            .findings
            .iter()
            .filter(|found| found.repaired)
            .count() as u64;
    }

    /// What was read, in words.
    fn read(&self) -> String {
        format!(
            "{} of {}",
            count::shown(self.checkpoints, "checkpoint"),
            count::shown(self.threads, "thread"),
        )
    }

    fn print(&self, output: &mut Output) -> anyhow::Result<Outcome> {
        let Self {
            threads,
            checkpoints,
            pending_writes,
            chunks,
            damaged,
            repaired,
        } = self;
        if output.is_json() {
            output.json(&json!({ "read": {
                "threads": threads, "checkpoints": checkpoints, "pending_writes": pending_writes,
                "chunks": chunks, "damaged": damaged, "repaired": repaired,
            } }))?;
        } else {
            let read = self.read();
            output.line(format!(
                "read {read}; threads that are damaged: {damaged}; findings that were repaired: {repaired}"
            ))?;
        }
        Ok(match damaged {
            0 => Outcome::Done,
            _ => Outcome::Failed,
        })
    }
}
