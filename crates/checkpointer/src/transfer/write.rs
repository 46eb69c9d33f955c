//! The lines of an exported thread.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::same::Change;
use super::{End, FORMAT};
use crate::codec::{self, Refused};
use crate::{
    ChannelValues, ChannelVersions, CheckpointId, CheckpointNs, CheckpointTuple, PendingWrite,
    ThreadInfo,
};

/// A line under way. Its text is in the form of the codec, so that every value comes back equal
/// whatever features `serde_json` has.
#[derive(Default)]
struct Line {
    text: Vec<u8>,
    /// Whether the object or array under way has members already.
    has_members: bool,
}

impl Line {
    fn open(&mut self, bracket: u8) {
        self.text.push(bracket);
        self.has_members = false;
    }

    fn close(&mut self, bracket: u8) {
        self.text.push(bracket);
        self.has_members = true;
    }

    /// Begins a member of an object, or an item of an array.
    fn next(&mut self) {
        if self.has_members {
            self.text.push(b',');
        }
        self.has_members = true;
    }

    fn key(&mut self, key: &str) -> Result<(), Refused> {
        self.next();
        codec::encode_key(key, &mut self.text)?;
        self.text.push(b':');
        Ok(())
    }

    fn value(&mut self, key: &str, value: impl Into<Value>) -> Result<(), Refused> {
        self.borrowed(key, &value.into())
    }

    fn borrowed(&mut self, key: &str, value: &Value) -> Result<(), Refused> {
        self.key(key)?;
        codec::encode(value, &mut self.text)
    }

    fn map(&mut self, key: &str, map: &Map<String, Value>) -> Result<(), Refused> {
        self.key(key)?;
        codec::encode_object(map, &mut self.text)
    }

    fn items(&mut self, key: &str, items: &[Value]) -> Result<(), Refused> {
        self.key(key)?;
        self.open(b'[');
        for item in items {
            self.next();
            codec::encode(item, &mut self.text)?;
        }
        self.close(b']');
        Ok(())
    }

    /// Makes a line of the kind `key`, with the members that `fill` adds.
    fn make(
        key: &str,
        fill: impl FnOnce(&mut Self) -> Result<(), Refused>,
    ) -> Result<String, Refused> {
        let mut line = Self::default();
        line.open(b'{');
        line.key(key)?;
        line.open(b'{');
        fill(&mut line)?;
        line.text.extend_from_slice(b"}}");
        Ok(String::from_utf8_lossy(&line.text).into_owned())
    }
}

/// The line of a thread, with the heads of its namespaces.
pub(super) fn header(
    thread: &ThreadInfo,
    heads: &BTreeMap<CheckpointNs, CheckpointId>,
) -> Result<String, Refused> {
    Line::make("thread", |line| {
        line.value("format", FORMAT)?;
        line.value("thread_id", thread.thread_id.as_str())?;
        line.map("metadata", &thread.metadata)?;
        line.value("created_at", time(thread.created_at))?;
        line.value("updated_at", time(thread.updated_at))?;
        let heads = heads.iter();
        let heads = heads.map(|(ns, id)| (ns.to_string(), Value::from(id.as_str())));
        line.map("heads", &heads.collect())
    })
}

/// The line of a checkpoint. `before` has the values of the line before.
pub(super) fn step(tuple: &CheckpointTuple, before: &ChannelValues) -> Result<String, Refused> {
    let checkpoint = &tuple.checkpoint;
    Line::make("checkpoint", |line| {
        line.value("checkpoint_ns", tuple.address.checkpoint_ns.as_str())?;
        line.value("checkpoint_id", checkpoint.id.as_str())?;
        if let Some(parent) = &tuple.parent_address {
            line.value("parent_checkpoint_id", parent.checkpoint_id.as_str())?;
        }
        line.value("v", checkpoint.v)?;
        line.value("ts", checkpoint.ts.as_str())?;
        line.map("channel_versions", &versions(&checkpoint.channel_versions))?;
        let seen = checkpoint.versions_seen.iter();
        let seen = seen.map(|(node, seen)| (node.clone(), Value::Object(versions(seen))));
        line.map("versions_seen", &seen.collect())?;
        if let Some(channels) = &checkpoint.updated_channels {
            line.value("updated_channels", channels.as_slice())?;
        }
        if !checkpoint.extra.is_empty() {
            line.map("extra", &checkpoint.extra)?;
        }
        line.map("metadata", tuple.metadata.as_map())?;
        if tuple.pinned {
            line.value("pinned", true)?;
        }
        values(line, &checkpoint.channel_values, before)?;
        writes(line, &tuple.pending_writes)
    })
}

/// The line that ends a thread.
pub(super) fn end(end: End) -> Result<String, Refused> {
    Line::make("end", |line| {
        line.value("checkpoints", end.checkpoints)?;
        line.value("writes", end.writes)
    })
}

fn versions(versions: &ChannelVersions) -> Map<String, Value> {
    let versions = versions.iter();
    let versions = versions.map(|(channel, version)| (channel.clone(), version.to_json()));
    versions.collect()
}

fn values(line: &mut Line, values: &ChannelValues, before: &ChannelValues) -> Result<(), Refused> {
    let changes = values
        .iter()
        .map(|(channel, value)| (channel, Change::of(before.get(channel), value)));
    let changes: Vec<_> = changes.collect();
    line.key("values")?;
    line.open(b'{');
    for (channel, change) in &changes {
        if let Change::Other(value) = change {
            line.borrowed(channel, value)?;
        }
    }
    line.close(b'}');
    line.key("appended")?;
    line.open(b'{');
    for (channel, change) in &changes {
        if let Change::Appended(items) = change {
            line.items(channel, items)?;
        }
    }
    line.close(b'}');
    let same = changes
        .into_iter()
        .filter(|(_, change)| *change == Change::Same);
    let same: Vec<Value> = same.map(|(channel, _)| channel.as_str().into()).collect();
    line.items("same", &same)
}

fn writes(line: &mut Line, writes: &[PendingWrite]) -> Result<(), Refused> {
    line.key("writes")?;
    line.open(b'[');
    for write in writes {
        line.next();
        line.open(b'{');
        line.value("task_id", write.task_id.as_str())?;
        line.value("task_path", write.task_path.as_str())?;
        line.value("channel", write.channel.as_str())?;
        line.borrowed("value", &write.value)?;
        line.close(b'}');
    }
    line.close(b']');
    Ok(())
}

fn time(at: SystemTime) -> String {
    humantime::format_rfc3339_micros(at).to_string()
}
