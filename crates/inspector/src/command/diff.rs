//! `diff`

use checkpointer::serde_json::{Value, json};
use checkpointer::{CheckpointTuple, Checkpointer, GetTuple, Projection};
use inspector::{Change, Difference, TextPart};

use super::at::{At, Place};
use super::exit::{Failure, Outcome};
use super::output::Output;
use super::paint::{ADDED, NAME, REMOVED, Text, painted};
use super::value::{self, Room};

/// How many characters of a value stand behind its name, instead of below it.
const SHORT: usize = 80;
/// How much of a text that is kept is shown around a change.
const CONTEXT: usize = 40;

/// Show what differs between two checkpoints, or between one and its parent
///
/// `+` was added, `-` was removed. Inside a text, [-words-] were removed and {+words+} were added.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// The checkpoint: `head`, `head~3`, an id, or the beginning or end of one
    #[arg(value_name = "CHECKPOINT", default_value = "head", value_parser = At::parse)]
    at: At,
    /// Another checkpoint, to which it is compared instead of its parent: what CHECKPOINT lacks is added
    #[arg(value_name = "OTHER", value_parser = At::parse)]
    other: Option<At>,
    /// Show large values as a whole
    #[arg(long)]
    full: bool,
    /// Exit with 1 if they differ
    #[arg(long)]
    exit_code: bool,
}

pub(crate) async fn run(
    checkpointer: &dyn Checkpointer,
    args: &Args,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let at = args
        .place
        .read(checkpointer, &args.at, Projection::All)
        .await?;
    let (before, after) = match &args.other {
        Some(other) => (
            at,
            args.place
                .read(checkpointer, other, Projection::All)
                .await?,
        ),
        None => (parent(checkpointer, &at).await?, at),
    };
    let (old, new) = (
        &before.checkpoint.channel_values,
        &after.checkpoint.channel_values,
    );
    let difference = Difference::between(old, new);
    if output.is_json() {
        output.json(&json!({
            "before": inspector::json::address(&before.address),
            "after": inspector::json::address(&after.address),
            "channels": inspector::json::difference(&difference),
        }))?;
    } else {
        print(&before, &after, &difference, args.full, output)?;
    }
    Ok(match args.exit_code && !difference.is_empty() {
        true => Outcome::Failed,
        false => Outcome::Done,
    })
}

async fn parent(
    checkpointer: &dyn Checkpointer,
    at: &CheckpointTuple,
) -> anyhow::Result<CheckpointTuple> {
    let id = &at.address.checkpoint_id;
    let parent = at.parent_address.as_ref().ok_or_else(|| {
        Failure::not_found(format!(
            "checkpoint `{id}` is the first one: name another to compare it with"
        ))
    })?;
    let tuple = checkpointer.get_tuple(GetTuple::at(parent)).await?;
    tuple.ok_or_else(|| {
        let parent = &parent.checkpoint_id;
        Failure::not_found(format!(
            "the parent `{parent}` of checkpoint `{id}` was pruned: name another"
        ))
    })
}

fn print(
    before: &CheckpointTuple,
    after: &CheckpointTuple,
    difference: &Difference<'_>,
    full: bool,
    output: &mut Output,
) -> anyhow::Result<()> {
    output.line(painted(REMOVED, format!("--- {}", name(before))))?;
    output.line(painted(ADDED, format!("+++ {}", name(after))))?;
    if difference.is_empty() {
        output.line("the states are equal")?;
    }
    let mut printer = Printer { full, output };
    for channel in &difference.channels {
        printer.change(channel.channel, &channel.change)?;
    }
    Ok(())
}

fn name(tuple: &CheckpointTuple) -> String {
    let id = &tuple.address.checkpoint_id;
    match tuple.metadata.step() {
        Some(step) => format!("{id}  step {step}"),
        None => id.to_string(),
    }
}

struct Printer<'a> {
    full: bool,
    output: &'a mut Output,
}

impl Printer<'_> {
    /// Prints a change, with the path to its place.
    fn change(&mut self, path: &str, change: &Change<'_>) -> anyhow::Result<()> {
        match change {
            Change::Added(value) => self.value('+', path, value),
            Change::Removed(value) => self.value('-', path, value),
            Change::Replaced { before, after } => {
                self.value('-', path, before)?;
                self.value('+', path, after)
            }
            Change::Text(parts) => {
                let parts = (parts.iter().enumerate())
                    .map(|(at, part)| self.part(part, at == 0, at + 1 == parts.len()));
                let text = Text::joined(parts, "");
                self.output.line(changed(path).and(": ").and(text))
            }
            Change::Items(items) => (items.iter()).try_for_each(|item| {
                let at = item.after.or(item.before).unwrap_or_default();
                self.change(&format!("{path}[{at}]"), &item.change)
            }),
            Change::Members(members) => (members.iter())
                .try_for_each(|member| self.change(&join(path, member.key), &member.change)),
            _ => self.output.line(changed(path)),
        }
    }

    fn value(&mut self, sign: char, path: &str, value: &Value) -> anyhow::Result<()> {
        let style = if sign == '+' { ADDED } else { REMOVED };
        let line = value.to_string();
        if line.chars().count() <= SHORT {
            let line = format!("{sign} {path}: {line}");
            return self.output.line(painted(style, line));
        }
        self.output
            .line(painted(style, format!("{sign} {path}:")))?;
        for line in value::lines(value, Room::full(self.full)) {
            self.output
                .line(painted(style, format!("{sign}   {line}")))?;
        }
        Ok(())
    }

    fn part(&self, part: &TextPart<'_>, first: bool, last: bool) -> Text {
        match part {
            TextPart::Removed(text) => painted(REMOVED, format!("[-{text}-]")),
            TextPart::Added(text) => painted(ADDED, format!("{{+{text}+}}")),
            TextPart::Kept(text) if self.full => text.into(),
            TextPart::Kept(text) => around(text, first, last).into(),
            _ => "".into(),
        }
    }
}

/// The name of something that has changed inside.
fn changed(path: &str) -> Text {
    Text::from("~ ").and(painted(NAME, path))
}

/// What is kept next to a change; the rest of it is left out.
fn around(text: &str, first: bool, last: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let head = if first { 0 } else { CONTEXT };
    let tail = if last { 0 } else { CONTEXT };
    if chars.len() <= head + tail + 1 {
        return text.to_owned();
    }
    let head: String = chars[..head].iter().collect();
    let tail: String = chars[chars.len() - tail..].iter().collect();
    format!("{head}…{tail}")
}

fn join(path: &str, key: &str) -> String {
    let is_plain = !key.is_empty()
        && key
            .chars()
            .all(|char| char.is_alphanumeric() || char == '_');
    match is_plain {
        true => format!("{path}.{key}"),
        false => format!("{path}[{}]", Value::from(key)),
    }
}
