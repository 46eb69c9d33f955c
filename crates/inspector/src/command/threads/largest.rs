//! The threads that take most.

use std::cmp::Reverse;

use checkpointer::futures_util::TryStreamExt;
use checkpointer::serde_json::Value;
use checkpointer::{Checkpointer, ThreadInfo, ThreadSize};
use inspector::json;

use super::super::exit::Outcome;
use super::super::output::Output;
use super::super::progress::Progress;
use super::super::table::Table;
use super::super::{bytes, moment, stderr, value};
use super::{Args, METADATA_COLUMNS};

/// How many threads are measured: of each, every row is read.
const MEASURED: usize = 500;

/// The threads that were measured.
struct Measured {
    threads: Vec<(ThreadInfo, ThreadSize)>,
    /// Whether there are threads that weren't.
    more: bool,
}

pub(super) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let mut measured = measure(checkpointer, args).await?;
    let said = measured.said();
    let largest = &mut measured.threads;
    largest.sort_by_key(|(_, size)| Reverse(size.bytes));
    if args.limit > 0 {
        largest.truncate(args.limit);
    }
    if !output.is_json() {
        print(largest, output)?;
        output.line(said)?;
        return Ok(Outcome::Done);
    }
    for (thread, size) in largest {
        let mut thread = json::thread(thread);
        thread["size"] = json::thread_size(size);
        output.json(&thread)?;
    }
    if measured.more {
        stderr::say(said);
    }
    Ok(Outcome::Done)
}

async fn measure(checkpointer: &dyn Checkpointer, args: &Args) -> anyhow::Result<Measured> {
    let query = args.pick.query()?.limit(MEASURED + 1);
    let mut all: Vec<ThreadInfo> = checkpointer.threads(query).try_collect().await?;
    let more = all.len() > MEASURED;
    all.truncate(MEASURED);
    let progress = Progress::of("measuring", all.len() as u64);
    let mut threads = Vec::new();
    for thread in all {
        // One that was deleted meanwhile has none.
        if let Some(size) = checkpointer.thread_size(&thread.thread_id).await? {
            threads.push((thread, size));
        }
        progress.add(1);
    }
    Ok(Measured { threads, more })
}

impl Measured {
    /// What was done, and what wasn't.
    fn said(&self) -> String {
        let count = self.threads.len();
        match self.more {
            true => format!(
                "the {count} threads that changed last were measured, and there are more: --since, --until \
                 and --metadata pick others"
            ),
            false => format!("all {count} threads were measured"),
        }
    }
}

fn print(threads: &[(ThreadInfo, ThreadSize)], output: &mut Output) -> anyhow::Result<()> {
    if threads.is_empty() {
        return output.line("no threads");
    }
    let mut table = Table::new(&["THREAD", "SIZE", "CHECKPOINTS", "CHANGED", "METADATA"]);
    for (thread, size) in threads {
        let metadata = Value::Object(thread.metadata.clone());
        table.row([
            thread.thread_id.to_string(),
            bytes::shown(size.bytes),
            size.checkpoints.to_string(),
            moment::shown(thread.updated_at),
            value::short(&metadata, METADATA_COLUMNS),
        ]);
    }
    table.print(output)
}
