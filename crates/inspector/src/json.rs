//! What the inspector shows, as JSON for programs.
//!
//! Names are those of the types' fields. Times are texts in RFC 3339. [`object()`] reads what people write, and
//! [`changed_number()`] finds in it what can't be kept.

mod numbers;
mod object;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use checkpointer::serde_json::{Map, Value, json};
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Loaded, PendingWrite, ThreadInfo, ThreadSize,
};

use crate::{
    Change, ChannelChange, Difference, History, ItemChange, Line, MemberChange, Node, Pending,
    TaskWrites, TextPart,
};

pub use numbers::changed_number;
pub use object::object;

/// A time in RFC 3339, in UTC. One that can't be written so is the nearest one that can.
pub fn time(at: SystemTime) -> String {
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(at.clamp(UNIX_EPOCH, last)).to_string()
}

/// A thread.
pub fn thread(thread: &ThreadInfo) -> Value {
    json!({
        "thread_id": thread.thread_id.as_str(),
        "created_at": time(thread.created_at),
        "updated_at": time(thread.updated_at),
        "head": thread.head.as_ref().map(|head| head.as_str()),
        "generation": thread.generation.0,
        "metadata": thread.metadata,
    })
}

/// How much a thread takes.
pub fn thread_size(size: &ThreadSize) -> Value {
    let channels = size.channels.iter().map(|(channel, size)| {
        let size = json!({
            "own_bytes": size.own_bytes,
            "shared_bytes": size.shared_bytes,
            "chunks": size.chunks,
        });
        (channel.clone(), size)
    });
    json!({
        "thread_id": size.thread_id.as_str(),
        "bytes": size.bytes,
        "checkpoints": size.checkpoints,
        "pending_writes": size.pending_writes,
        "chunks": size.chunks,
        "channels": channels.collect::<Map<_, _>>(),
    })
}

/// The address of a checkpoint.
pub fn address(address: &CheckpointAddress) -> Value {
    json!({
        "thread_id": address.thread_id.as_str(),
        "checkpoint_ns": address.checkpoint_ns.as_str(),
        "checkpoint_id": address.checkpoint_id.as_str(),
        "generation": address.generation.map(|generation| generation.0),
    })
}

/// A checkpoint, with as much of its state and its pending writes as was read.
pub fn tuple(tuple: &CheckpointTuple) -> Value {
    let mut object = outline(tuple);
    match tuple.checkpoint.loaded() {
        Loaded::All => {
            object.insert("checkpoint".to_owned(), tuple.checkpoint.to_json());
            let writes = tuple.pending_writes.iter().map(write);
            object.insert("pending_writes".to_owned(), writes.collect());
        }
        Loaded::SomeChannels => {
            object.insert("checkpoint".to_owned(), tuple.checkpoint.to_json());
        }
        _ => {}
    }
    Value::Object(object)
}

/// A checkpoint without its state.
fn outline(tuple: &CheckpointTuple) -> Map<String, Value> {
    let parent = tuple.parent_address.as_ref();
    let mut object = match address(&tuple.address) {
        Value::Object(object) => object,
        _ => Map::new(),
    };
    let parent = parent.map(|parent| parent.checkpoint_id.as_str());
    object.insert("parent_checkpoint_id".to_owned(), json!(parent));
    object.insert("pinned".to_owned(), tuple.pinned.into());
    object.insert("ts".to_owned(), json!(tuple.checkpoint.ts));
    object.insert("metadata".to_owned(), json!(tuple.metadata.as_map()));
    object
}

fn write(write: &PendingWrite) -> Value {
    json!({
        "task_id": write.task_id.as_str(),
        "channel": write.channel,
        "value": *write.value,
    })
}

/// The history of a thread.
pub fn history(history: &History) -> Value {
    json!({
        "thread_id": history.thread_id.as_str(),
        "lines": history.lines.iter().map(line).collect::<Value>(),
        "more": history.more,
    })
}

fn line(line: &Line) -> Value {
    json!({
        "checkpoint_ns": line.checkpoint_ns.as_str(),
        "head": line.head.as_ref().map(|head| head.as_str()),
        "nodes": line.nodes.iter().map(node).collect::<Value>(),
    })
}

fn node(node: &Node) -> Value {
    let mut object = outline(&node.tuple);
    object.insert("is_head".to_owned(), node.is_head.into());
    let children = node.children.iter().map(|id| Value::from(id.as_str()));
    object.insert("children".to_owned(), children.collect());
    object.insert("parent_missing".to_owned(), node.parent_missing.into());
    object.insert(
        "within".to_owned(),
        node.within.as_ref().map_or(Value::Null, address),
    );
    let subgraphs = node.subgraphs.iter().map(|ns| Value::from(ns.as_str()));
    object.insert("subgraphs".to_owned(), subgraphs.collect());
    Value::Object(object)
}

/// What the tasks of a checkpoint have left.
pub fn pending(pending: &Pending<'_>) -> Value {
    pending.tasks.iter().map(task).collect()
}

fn task(task: &TaskWrites<'_>) -> Value {
    let mut object = Map::new();
    object.insert("task_id".to_owned(), task.task_id.as_str().into());
    object.insert("state".to_owned(), task.state.as_str().into());
    for (name, value) in [
        ("question", task.question),
        ("answers", task.answers),
        ("error", task.error),
        ("scheduled", task.scheduled),
    ] {
        if let Some(value) = value {
            object.insert(name.to_owned(), value.clone());
        }
    }
    let outputs = task
        .outputs
        .iter()
        .map(|output| json!({ "channel": output.channel, "value": *output.value }));
    object.insert("outputs".to_owned(), outputs.collect());
    Value::Object(object)
}

/// What differs between two states: each change has its place, and one of `added`, `removed`,
/// `replaced`, `text`, `items` and `members`.
pub fn difference(difference: &Difference<'_>) -> Value {
    let channels = difference.channels.iter().map(
        |ChannelChange {
             channel,
             change: changed,
         }| { placed([("channel", json!(channel))], changed) },
    );
    channels.collect()
}

fn placed<const N: usize>(place: [(&str, Value); N], changed: &Change<'_>) -> Value {
    let place = place.map(|(name, value)| (name.to_owned(), value));
    let mut object: Map<String, Value> = place.into_iter().collect();
    let (name, value) = change(changed);
    object.insert(name.to_owned(), value);
    Value::Object(object)
}

fn change(change: &Change<'_>) -> (&'static str, Value) {
    match change {
        Change::Added(value) => ("added", (*value).clone()),
        Change::Removed(value) => ("removed", (*value).clone()),
        Change::Replaced { before, after } => {
            ("replaced", json!({ "before": before, "after": after }))
        }
        Change::Text(parts) => ("text", parts.iter().map(part).collect()),
        Change::Items(items) => ("items", items.iter().map(item).collect()),
        Change::Members(members) => ("members", members.iter().map(member).collect()),
    }
}

fn part(part: &TextPart<'_>) -> Value {
    let (name, text) = match part {
        TextPart::Kept(text) => ("kept", text),
        TextPart::Added(text) => ("added", text),
        TextPart::Removed(text) => ("removed", text),
    };
    json!({ name: text })
}

fn item(item: &ItemChange<'_>) -> Value {
    let place = [("before", json!(item.before)), ("after", json!(item.after))];
    placed(place, &item.change)
}

fn member(member: &MemberChange<'_>) -> Value {
    placed([("key", json!(member.key))], &member.change)
}
