//! Reading the lines of an exported thread.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{End, FORMAT, Header, Step, TaskWrites};
use crate::writes::special_index;
use crate::{
    ChannelValues, ChannelVersions, Checkpoint, CheckpointId, CheckpointNs, Error, Metadata,
    PendingWrite, TaskId, ThreadId, Version, codec,
};

/// A line.
#[derive(Debug)]
pub(super) enum Line {
    Thread(Header),
    Checkpoint(Box<Step>),
    End(End),
}

/// What is wrong with a line. It quotes no value.
type Problem = String;

impl Line {
    /// Reads a line. `before` has the values of the line before.
    pub(super) fn parse(text: &str, before: &ChannelValues) -> Result<Self, Problem> {
        let line = codec::decode(text.as_bytes()).map_err(|error| {
            let error = db::Chain::new(&error).to_string();
            format!("is no JSON of an export: {error}")
        })?;
        let mut line = Fields::of(line)?;
        let Some(kind) = line.0.keys().next().cloned() else {
            return Err("is an empty object".to_owned());
        };
        let mut fields = line.object(&kind)?;
        let parsed = match kind.as_str() {
            "thread" => Self::Thread(header(&mut fields)?),
            "checkpoint" => Self::Checkpoint(Box::new(step(&mut fields, before)?)),
            "end" => Self::End(End {
                checkpoints: fields.count("checkpoints")?,
                writes: fields.count("writes")?,
            }),
            _ => return Err("is of no known kind".to_owned()),
        };
        line.is_empty()?;
        fields.is_empty()?;
        Ok(parsed)
    }
}

fn header(fields: &mut Fields) -> Result<Header, Problem> {
    let format = fields.integer("format")?;
    if !(1..=FORMAT).contains(&format) {
        return Err(format!(
            "has format {format}; this program reads up to {FORMAT}"
        ));
    }
    let heads = fields.object("heads")?.0.into_iter();
    let heads = heads.map(|(ns, id)| {
        let id = id.as_str().ok_or("has a head that is no text")?;
        Ok((name(CheckpointNs::new(ns))?, name(CheckpointId::new(id))?))
    });
    let heads = heads.collect::<Result<_, Problem>>()?;
    // The times are for people: an import has times of its own.
    fields.text("created_at")?;
    fields.text("updated_at")?;
    Ok(Header {
        thread_id: name(ThreadId::new(fields.text("thread_id")?))?,
        metadata: fields.object("metadata")?.0,
        heads,
    })
}

fn step(fields: &mut Fields, before: &ChannelValues) -> Result<Step, Problem> {
    let id = name(CheckpointId::new(fields.text("checkpoint_id")?))?;
    let mut checkpoint = Checkpoint::new(id);
    checkpoint.v = fields.integer("v")?;
    checkpoint.ts = fields.text("ts")?;
    checkpoint.channel_versions = versions(fields.object("channel_versions")?)?;
    for (node, seen) in fields.object("versions_seen")?.0 {
        let seen = versions(Fields::of(seen)?)?;
        checkpoint.versions_seen.insert(node, seen);
    }
    if let Some(channels) = fields.optional("updated_channels") {
        checkpoint.updated_channels = Some(texts(channels)?);
    }
    if let Some(extra) = fields.optional("extra") {
        checkpoint.extra = Fields::of(extra)?.0;
    }
    checkpoint.channel_values = values(fields, before)?;
    let parent = fields
        .optional("parent_checkpoint_id")
        .map(text)
        .transpose()?;
    let pinned = fields.optional("pinned").map(flag).transpose()?;
    let writes = fields.array("writes")?.into_iter().map(write);
    Ok(Step {
        checkpoint_ns: name(CheckpointNs::new(fields.text("checkpoint_ns")?))?,
        parent: parent.map(|id| name(CheckpointId::new(id))).transpose()?,
        checkpoint,
        metadata: Metadata::from(fields.object("metadata")?.0),
        pinned: pinned.unwrap_or(false),
        writes: calls(writes.collect::<Result<_, _>>()?)?,
    })
}

/// The values of a checkpoint, of which some are in the line before.
fn values(fields: &mut Fields, before: &ChannelValues) -> Result<ChannelValues, Problem> {
    let missing = |channel: &str| {
        format!("needs a value of channel `{channel}`, which the line before doesn't have")
    };
    let mut values: ChannelValues = fields.object("values")?.0.into_iter().collect();
    for (channel, items) in fields.object("appended")?.0 {
        let (Some(Value::Array(before)), Value::Array(items)) = (before.get(&channel), items)
        else {
            return Err(missing(&channel));
        };
        let whole = before.iter().cloned().chain(items).collect();
        values.insert(channel, Value::Array(whole));
    }
    for channel in texts(Value::Array(fields.array("same")?))? {
        let value = before.get_shared(&channel).cloned();
        let value = value.ok_or_else(|| missing(&channel))?;
        values.insert_shared(channel, value);
    }
    Ok(values)
}

fn write(write: Value) -> Result<PendingWrite, Problem> {
    let mut fields = Fields::of(write)?;
    let write = PendingWrite {
        task_path: fields.text("task_path")?,
        ..PendingWrite::new(
            name(TaskId::new(fields.text("task_id")?))?,
            fields.text("channel")?,
            fields.take("value")?,
        )
    };
    fields.is_empty()?;
    Ok(write)
}

/// Divides writes into the calls that store them.
///
/// The outputs of a task to regular channels must be in one call, since each call counts them from 0, and it
/// has one write to each special channel. Others would be left out, or be replaced.
fn calls(writes: Vec<PendingWrite>) -> Result<Vec<TaskWrites>, Problem> {
    let mut calls: Vec<TaskWrites> = Vec::new();
    // By task and special channel: the call that has the last write to it, counted from 1.
    let mut known = HashMap::new();
    for write in writes {
        let (task_id, task_path) = (write.task_id, write.task_path);
        let is_other = |last: &TaskWrites| last.task_id != task_id || last.task_path != task_path;
        if calls.last().is_none_or(is_other) {
            calls.push(TaskWrites {
                task_id: task_id.clone(),
                task_path,
                writes: Vec::new(),
            });
        }
        let special = special_index(&write.channel);
        let before = known.insert((task_id.clone(), special), calls.len());
        if before.is_some_and(|before| special.is_some() || before != calls.len()) {
            return Err(format!(
                "has writes of task `{task_id}` that can't be stored together"
            ));
        }
        if let Some(call) = calls.last_mut() {
            call.writes
                .push((write.channel, Arc::unwrap_or_clone(write.value)));
        }
    }
    Ok(calls)
}

fn versions(fields: Fields) -> Result<ChannelVersions, Problem> {
    let versions = fields.0.into_iter().map(|(channel, version)| {
        let version = Version::from_json(&version);
        let version = version.ok_or_else(|| format!("has no version of channel `{channel}`"))?;
        Ok((channel, version))
    });
    versions.collect::<Result<BTreeMap<_, _>, _>>()
}

fn text(value: Value) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err("has something else where a string must be".to_owned()),
    }
}

fn flag(value: Value) -> Result<bool, Problem> {
    let value = value.as_bool();
    value.ok_or_else(|| "has something else where true or false must be".to_owned())
}

fn texts(value: Value) -> Result<Vec<String>, Problem> {
    match value {
        Value::Array(items) => items.into_iter().map(text).collect(),
        _ => Err("has something else where an array of strings must be".to_owned()),
    }
}

fn name<T>(name: Result<T, Error>) -> Result<T, Problem> {
    name.map_err(|error| format!("has a name that can't be one: {error}"))
}

/// The members of an object, which are taken one by one.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            _ => Err("has something else where an object must be".to_owned()),
        }
    }

    fn optional(&mut self, field: &str) -> Option<Value> {
        self.0.remove(field)
    }

    fn take(&mut self, field: &str) -> Result<Value, Problem> {
        self.optional(field)
            .ok_or_else(|| format!("has no `{field}`"))
    }

    fn object(&mut self, field: &str) -> Result<Self, Problem> {
        Self::of(self.take(field)?)
    }

    fn array(&mut self, field: &str) -> Result<Vec<Value>, Problem> {
        match self.take(field)? {
            Value::Array(items) => Ok(items),
            _ => Err(format!("has a `{field}` that is no array")),
        }
    }

    fn text(&mut self, field: &str) -> Result<String, Problem> {
        text(self.take(field)?)
    }

    fn integer(&mut self, field: &str) -> Result<i64, Problem> {
        let value = self.take(field)?.as_i64();
        value.ok_or_else(|| format!("has a `{field}` that is no integer"))
    }

    fn count(&mut self, field: &str) -> Result<u64, Problem> {
        let value = self.take(field)?.as_u64();
        value.ok_or_else(|| format!("has a `{field}` that is no count"))
    }

    /// Refuses what this version of the format doesn't have: it may mean something.
    fn is_empty(&self) -> Result<(), Problem> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err("has a field that this program doesn't know".to_owned()),
        }
    }
}
