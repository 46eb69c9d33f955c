//! A checkpoint as LangGraph's saver has stored it: JSON, of which the values of channels that are
//! no numbers, texts or the like are missing.

use std::collections::BTreeMap;

use checkpointer::{Checkpoint, Metadata};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value, json};

use super::report::Reason;
use super::tables::CheckpointRow;
use crate::{Serialized, TAG};

type Result<T> = std::result::Result<T, Reason>;

/// What a row says.
#[derive(Debug)]
pub(super) struct Stored {
    /// The checkpoint with the values that are in the row.
    pub(super) checkpoint: Checkpoint,
    pub(super) metadata: Metadata,
    /// The version of each channel as `checkpoint_blobs` has it.
    pub(super) versions: BTreeMap<String, String>,
}

/// An array or object of metadata that has so many around it is stored as text. A checkpointer takes 100
/// in each other, which leaves room for the tag of the text, and for that of the object around it.
const MAX_DEPTH: usize = 98;

type Fields<'a> = BTreeMap<String, &'a RawValue>;

impl Stored {
    pub(super) fn read(row: &CheckpointRow) -> Result<Self> {
        let mut fields: Fields<'_> = parse(&row.checkpoint, "checkpoint")?;
        let inline = parts(fields.remove("channel_values"), "channel_values")?;
        let versions = parts(fields.get("channel_versions").copied(), "channel_versions")?;
        let mut checkpoint = checkpoint(&row.checkpoint_id, fields)?;
        let inline = inline
            .into_iter()
            .map(|(channel, raw)| (channel, form(raw)));
        checkpoint.channel_values = inline.collect();
        let metadata: Fields<'_> = parse(&row.metadata, "metadata")?;
        Ok(Self {
            checkpoint,
            metadata: members(metadata, 1).into(),
            versions: versions
                .into_iter()
                .map(|(channel, raw)| (channel, text(raw)))
                .collect(),
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str, field: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|_| Reason::NoObject {
        field: field.to_owned(),
    })
}

/// The members of a field; none if there is no such field.
fn parts<'a>(field: Option<&'a RawValue>, name: &str) -> Result<Fields<'a>> {
    match field.map(RawValue::get) {
        None | Some("null") => Ok(Fields::new()),
        Some(object) => parse(object, name),
    }
}

/// The checkpoint without its values. What the saver needn't have stored gets a default.
fn checkpoint(id: &str, fields: Fields<'_>) -> Result<Checkpoint> {
    let mut object = Map::new();
    object.insert("v".to_owned(), 1.into());
    object.insert("ts".to_owned(), "".into());
    for field in ["channel_versions", "versions_seen"] {
        object.insert(field.to_owned(), Map::new().into());
    }
    for (field, raw) in fields {
        let value: Value = parse(raw.get(), &field)?;
        object.insert(field, value);
    }
    object.insert("channel_values".to_owned(), Map::new().into());
    object.insert("id".to_owned(), id.into());
    Checkpoint::from_json(Value::Object(object)).map_err(Reason::Refused)
}

/// Members of metadata, which lie in so many arrays and objects. Integers and objects that can't be kept as
/// they are have tags, and so has what lies too deep.
fn members(members: Fields<'_>, depth: usize) -> Map<String, Value> {
    let members = members.into_iter();
    let members = members.map(|(key, raw)| (key, tagged(raw, depth)));
    members.collect()
}

fn tagged(raw: &RawValue, depth: usize) -> Value {
    if depth >= MAX_DEPTH {
        return form(raw);
    }
    if let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        let items = items.into_iter();
        return items.map(|item| tagged(item, depth + 1)).collect();
    }
    match serde_json::from_str::<Fields<'_>>(raw.get()) {
        Ok(fields) if fields.contains_key(TAG) => {
            json!({ TAG: "dict", "v": members(fields, depth + 2) })
        }
        Ok(fields) => Value::Object(members(fields, depth + 1)),
        Err(_) => form(raw),
    }
}

/// The form of a value that is in the row: a number, a text, or the like.
fn form(raw: &RawValue) -> Value {
    match serde_json::from_str(raw.get()) {
        Ok(plain @ (Value::Null | Value::Bool(_) | Value::String(_))) => plain,
        Ok(Value::Number(number)) if is_exact(&number, raw.get()) => number.into(),
        // An integer of more than 64 bits, or what the saver doesn't put here.
        _ => Serialized::new("json", raw.get()).to_json(),
    }
}

/// Whether a number is the one that the text says: JSONB writes integers in full.
fn is_exact(number: &Number, text: &str) -> bool {
    text.contains('.') || number.as_u64().is_some() || number.as_i64().is_some()
}

/// A version as PostgreSQL makes it text.
fn text(raw: &RawValue) -> String {
    serde_json::from_str(raw.get()).unwrap_or_else(|_| raw.get().to_owned())
}

#[cfg(test)]
mod tests;
