//! `size`

mod state;

use std::cmp::Reverse;

use checkpointer::{Checkpointer, ThreadId, ThreadSize};
use inspector::json;

use super::at::{At, Place};
use super::exit::{Failure, Outcome};
use super::output::Output;
use super::table::Table;
use super::{bytes, count};

/// Show what a thread takes where it is stored, by channel; or how large the state of a checkpoint is
///
/// Of a thread it shows bytes as they are stored, compressed, of all its checkpoints and pending writes.
/// OWN would go with the channel, and SHARED is of values that other channels have as well. With a
/// checkpoint, or a namespace, it shows the state of that one: what a program reads and holds, as the
/// length of each channel's JSON.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The checkpoint: `head`, `head~3`, an id, or the beginning or end of one
    #[arg(value_name = "CHECKPOINT", value_parser = At::parse)]
    at: Option<At>,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let place = &args.place;
    match &args.at {
        Some(at) => state::run(checkpointer, place, at, output).await,
        None if place.checkpoint_ns.is_root() => {
            let size = read(checkpointer, &place.thread).await?;
            print(&size, output)
        }
        None => state::run(checkpointer, place, &At::Head(0), output).await,
    }
}

async fn read(checkpointer: &dyn Checkpointer, thread: &ThreadId) -> anyhow::Result<ThreadSize> {
    let size = checkpointer.thread_size(thread).await?;
    size.ok_or_else(|| Failure::not_found(format!("there is no thread `{thread}`")))
}

fn print(size: &ThreadSize, output: &mut Output) -> anyhow::Result<Outcome> {
    if output.is_json() {
        output.json(&json::thread_size(size))?;
        return Ok(Outcome::Done);
    }
    let ThreadSize {
        thread_id,
        checkpoints,
        pending_writes,
        chunks,
        ..
    } = size;
    let total = bytes::shown(size.bytes);
    output.line(format!(
        "thread {thread_id}: {total} in {}, {} and {}",
        count::shown(*checkpoints, "checkpoint"),
        count::shown(*pending_writes, "pending write"),
        count::shown(*chunks, "chunk"),
    ))?;
    let mut channels: Vec<_> = size.channels.iter().collect();
    channels.sort_by_key(|(_, size)| Reverse(size.own_bytes + size.shared_bytes));
    let mut table = Table::new(&["OWN", "SHARED", "CHUNKS", "CHANNEL"]);
    for (channel, size) in channels {
        table.row([
            bytes::shown(size.own_bytes),
            bytes::shown(size.shared_bytes),
            size.chunks.to_string(),
            channel.clone(),
        ]);
    }
    table.print(output)?;
    Ok(Outcome::Done)
}
