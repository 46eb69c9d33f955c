//! `show`

use std::collections::BTreeSet;

use checkpointer::serde_json::Value;
use checkpointer::{CheckpointTuple, Checkpointer, Loaded, Projection};
use inspector::json;

use super::at::{At, Place};
use super::exit::{Failure, Outcome};
use super::output::Output;
use super::paint::{ID, NAME, Text, painted};
use super::value::{self, Room};
use super::writes;

/// Show a checkpoint: its state, its metadata and its pending writes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The checkpoint: `head`, `head~3` for three steps before it, an id, or the beginning or end of one
    #[arg(value_name = "CHECKPOINT", default_value = "head", value_parser = At::parse)]
    at: At,
    /// Show only these channels, without the pending writes
    #[arg(long = "channel", short = 'c', value_name = "CHANNEL")]
    channels: Vec<String>,
    /// Show large values as a whole
    #[arg(long)]
    full: bool,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let projection = match args.channels.is_empty() {
        true => Projection::All,
        false => Projection::channels(&args.channels),
    };
    let tuple = args.place.read(checkpointer, &args.at, projection).await?;
    check_channels(&tuple, &args.channels)?;
    if output.is_json() {
        output.json(&json::tuple(&tuple))?;
        return Ok(Outcome::Done);
    }
    let room = Room::full(args.full);
    heading(&tuple, output)?;
    state(&tuple, room, output)?;
    writes::print(&tuple, room, output)?;
    Ok(Outcome::Done)
}

/// A misspelled channel would look like an empty one.
fn check_channels(tuple: &CheckpointTuple, channels: &[String]) -> anyhow::Result<()> {
    let known = &tuple.checkpoint.channel_versions;
    let values = &tuple.checkpoint.channel_values;
    for channel in channels {
        if !known.contains_key(channel) && !values.contains_key(channel) {
            let known: Vec<_> = known.keys().map(|name| format!("`{name}`")).collect();
            return Err(Failure::usage(format!(
                "the checkpoint has no channel `{channel}`; it has {}",
                known.join(", ")
            )));
        }
    }
    Ok(())
}

fn heading(tuple: &CheckpointTuple, output: &mut Output) -> anyhow::Result<()> {
    let address = &tuple.address;
    let parent = tuple.parent_address.as_ref();
    let lines = [
        ("thread", Some(address.thread_id.as_str())),
        (
            "namespace",
            Some(address.checkpoint_ns.as_str()).filter(|ns| !ns.is_empty()),
        ),
        ("checkpoint", Some(address.checkpoint_id.as_str())),
        ("parent", parent.map(|parent| parent.checkpoint_id.as_str())),
        ("made at", Some(tuple.checkpoint.ts.as_str())),
    ];
    for (name, text) in lines {
        if let Some(text) = text {
            output.line(Text::from(format!("{name:<11} ")).and(painted(ID, text)))?;
        }
    }
    if let Some(generation) = address.generation.filter(|generation| generation.0 > 1) {
        output.line(format!("{:<11} {}", "generation", generation.0))?;
    }
    if tuple.pinned {
        output.line(format!("{:<11} yes", "pinned"))?;
    }
    for (key, value) in tuple.metadata.as_map() {
        output.line(format!("{key:<11} {}", value::short(value, 200)))?;
    }
    Ok(())
}

fn state(tuple: &CheckpointTuple, room: Room, output: &mut Output) -> anyhow::Result<()> {
    let checkpoint = &tuple.checkpoint;
    let channels: BTreeSet<&String> = match checkpoint.loaded() {
        Loaded::All => (checkpoint.channel_values.keys())
            .chain(checkpoint.channel_versions.keys())
            .collect(),
        _ => checkpoint.channel_values.keys().collect(),
    };
    for channel in channels {
        output.line("")?;
        let value = checkpoint.channel_values.get(channel);
        let note = if value.is_none() { " (empty)" } else { "" };
        output.line(painted(NAME, channel).and(note))?;
        if let Some(value) = value {
            print_value(value, room, "  ", output)?;
        }
    }
    Ok(())
}

/// Prints a value below its name.
pub(crate) fn print_value(
    value: &Value,
    room: Room,
    indent: &str,
    output: &mut Output,
) -> anyhow::Result<()> {
    for line in value::lines(value, room) {
        output.line(format!("{indent}{line}"))?;
    }
    Ok(())
}
