//! How large a state is: what a program reads and holds.

use std::io::{self, Write};

use checkpointer::serde_json::{Value, json, to_writer};
use checkpointer::{CheckpointTuple, Checkpointer, Projection};

use super::super::at::{At, Place};
use super::super::bytes;
use super::super::exit::Outcome;
use super::super::output::Output;
use super::super::table::Table;

/// The length of one part of a checkpoint.
struct Part {
    kind: &'static str,
    name: String,
    bytes: u64,
    items: Option<usize>,
}

pub(super) async fn run(
    checkpointer: &dyn Checkpointer,
    place: &Place,
    at: &At,
    output: &mut Output,
) -> anyhow::Result<Outcome> {
    let tuple = place.read(checkpointer, at, Projection::All).await?;
    let parts = parts(&tuple)?;
    let total: u64 = parts.iter().map(|part| part.bytes).sum();
    if output.is_json() {
        let parts = parts.iter().map(|part| {
            json!({ "kind": part.kind, "name": part.name, "bytes": part.bytes, "items": part.items })
        });
        output.json(&json!({
            "at": inspector::json::address(&tuple.address),
            "bytes": total,
            "parts": parts.collect::<Value>(),
        }))?;
        return Ok(Outcome::Done);
    }
    let id = &tuple.address.checkpoint_id;
    output.line(format!("checkpoint {id}: {}", bytes::shown(total)))?;
    let mut table = Table::new(&["SIZE", "ITEMS", "KIND", "NAME"]);
    for part in parts {
        let items = part
            .items
            .map_or_else(String::new, |items| items.to_string());
        table.row([
            bytes::shown(part.bytes),
            items,
            part.kind.to_owned(),
            part.name,
        ]);
    }
    table.print(output)?;
    Ok(Outcome::Done)
}

fn parts(tuple: &CheckpointTuple) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (channel, value) in &tuple.checkpoint.channel_values {
        parts.push(Part::new("channel", channel, value)?);
    }
    for write in &tuple.pending_writes {
        let name = format!("{} of task {}", write.channel, write.task_id);
        parts.push(Part::new("pending write", &name, &write.value)?);
    }
    let metadata = Value::Object(tuple.metadata.as_map().clone());
    parts.push(Part::new("metadata", "", &metadata)?);
    parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
    Ok(parts)
}

impl Part {
    fn new(kind: &'static str, name: &str, value: &Value) -> anyhow::Result<Self> {
        let mut counter = Counter(0);
        to_writer(&mut counter, value)?;
        let items = match value {
            Value::Array(items) => Some(items.len()),
            Value::Object(members) => Some(members.len()),
            _ => None,
        };
        Ok(Self {
            kind,
            name: name.to_owned(),
            bytes: counter.0,
            items,
        })
    }
}

/// Counts what is written.
struct Counter(u64);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
