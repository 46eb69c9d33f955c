//! `fork`

use checkpointer::serde_json::{Map, Value, json};
use checkpointer::{Checkpointer, GetTuple, Projection};

use super::at::{At, Place};
use super::confirm::Confirm;
use super::exit::{Failure, Outcome};
use super::json_arg;
use super::output::Output;
use super::paint::{ID, Text, painted};
use super::stderr;

/// Go back: put a new head that follows an earlier checkpoint, with its state
///
/// The next run goes on from there. The checkpoints in between stay. It fails if another program moves
/// the head meanwhile.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The checkpoint to go on from: `head`, `head~3`, an id, or the beginning or end of one
    #[arg(value_name = "CHECKPOINT", value_parser = At::parse)]
    at: At,
    /// Give a channel another value: `channel=value`, where the value is JSON or else a text, or a JSON object
    #[arg(long, value_name = "MEMBERS", value_parser = json_arg::members)]
    set: Vec<Map<String, Value>>,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let place = &args.place;
    let changes = json_arg::joined("--set", &args.set)?.unwrap_or_default();
    let head = GetTuple::head(&place.thread)?.in_ns(&place.checkpoint_ns);
    let head = checkpointer
        .get_tuple(head.project(Projection::Metadata))
        .await?;
    let head = head.ok_or_else(|| place.not_found())?;
    let from = place.read(checkpointer, &args.at, Projection::All).await?;
    for (channel, value) in &changes {
        if let Some(why) = inspector::unreadable_for_langgraph(&from, value) {
            let what = format!("LangGraph couldn't read the value of `{channel}`: {why}");
            return Err(Failure::usage(what));
        }
        if !from.checkpoint.channel_versions.contains_key(channel) {
            stderr::say(format!(
                "note: the checkpoint has no channel `{channel}`, so it is a new one"
            ));
        }
    }

    let id = &from.address.checkpoint_id;
    args.confirm
        .ask(&format!(
            "make a fork of checkpoint `{id}` the head of {}",
            place.name()
        ))
        .await?;
    let put = inspector::fork(checkpointer, &from, &head.address.checkpoint_id, changes).await?;
    if output.is_json() {
        output.json(&json!({ "head": inspector::json::address(&put) }))?;
    } else {
        output.line(Text::from("the head is now ").and(painted(ID, &put.checkpoint_id)))?;
    }
    Ok(Outcome::Done)
}
