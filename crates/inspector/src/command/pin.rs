//! `pin`

use checkpointer::serde_json::json;
use checkpointer::{Checkpointer, Projection};

use super::at::{At, Place};
use super::confirm::Confirm;
use super::exit::Outcome;
use super::output::Output;

/// Pin a checkpoint, so that no policy removes it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The checkpoint: `head`, `head~3`, an id, or the beginning or end of one
    #[arg(value_name = "CHECKPOINT", value_parser = At::parse)]
    at: At,
    /// Unpin it
    #[arg(long)]
    off: bool,
    #[command(flatten)]
    confirm: Confirm,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let place = &args.place;
    let tuple = place
        .read(checkpointer, &args.at, Projection::Metadata)
        .await?;
    let address = tuple.address;
    let verb = if args.off { "unpin" } else { "pin" };
    let id = &address.checkpoint_id;
    let what = format!("{verb} checkpoint `{id}` of {}", place.name());
    args.confirm.ask(&what).await?;
    checkpointer.set_pinned(&address, !args.off).await?;
    if output.is_json() {
        let at = inspector::json::address(&address);
        output.json(&json!({ "at": at, "pinned": !args.off }))?;
    } else {
        output.line(format!("{verb}ned"))?;
    }
    Ok(Outcome::Done)
}
