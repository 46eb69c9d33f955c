//! A checkpoint as one JSON object, in LangGraph's shape.

use serde_json::{Map, Value};

use crate::{ChannelVersions, Checkpoint, CheckpointId, Error, Result, Version};

impl Checkpoint {
    /// Reads a checkpoint from LangGraph's JSON object: `v`, `id`, `ts`, `channel_values`,
    /// `channel_versions`, `versions_seen` and, where there is one, the list `updated_channels`.
    ///
    /// Whatever else the object holds is kept in [`extra`](Self::extra).
    ///
    /// # Errors
    ///
    /// [`Error::MalformedCheckpoint`] names the field that is missing or has another shape;
    /// [`Error::InvalidName`] if the id can't be one.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::Checkpoint;
    /// use serde_json::json;
    ///
    /// let stored = json!({
    ///     "v": 4, "id": "1f1e75c6", "ts": "2026-11-23T16:39:04Z",
    ///     "channel_values": { "n": 1 }, "channel_versions": { "n": 2 },
    ///     "versions_seen": { "__input__": {} }, "updated_channels": null,
    /// });
    /// let checkpoint = Checkpoint::from_json(stored.clone())?;
    /// assert_eq!(checkpoint.channel_values["n"], 1);
    /// assert_eq!(checkpoint.to_json(), stored);
    /// # Ok::<(), checkpointer::Error>(())
    /// ```
    pub fn from_json(value: Value) -> Result<Self> {
        let Value::Object(mut fields) = value else {
            return Err(malformed("", "an object"));
        };
        let id = take(&mut fields, "id", "a string", text)?;
        let mut checkpoint = Self::new(CheckpointId::new(id)?);
        checkpoint.v = take(&mut fields, "v", "an integer", |value| value.as_i64())?;
        checkpoint.ts = take(&mut fields, "ts", "a string", text)?;
        checkpoint.channel_values = take(&mut fields, "channel_values", "an object", object)?
            .into_iter()
            .collect();
        let channel_versions = take(&mut fields, "channel_versions", "an object", object)?;
        checkpoint.channel_versions = versions("channel_versions", channel_versions)?;
        for (node, seen) in take(&mut fields, "versions_seen", "an object", object)? {
            let field = format!("versions_seen.{node}");
            let seen = object(seen).ok_or_else(|| malformed(&field, "an object"))?;
            let seen = versions(&field, seen)?;
            checkpoint.versions_seen.insert(node, seen);
        }
        checkpoint.updated_channels = fields.get("updated_channels").and_then(strings);
        if checkpoint.updated_channels.is_some() {
            fields.remove("updated_channels");
        }
        checkpoint.extra = fields;
        Ok(checkpoint)
    }

    /// Returns the checkpoint as LangGraph's JSON object, [`extra`](Self::extra) among its fields.
    pub fn to_json(&self) -> Value {
        let seen = self.versions_seen.iter();
        let mut fields = self.extra.clone();
        fields.insert("v".to_owned(), self.v.into());
        fields.insert("id".to_owned(), self.id.as_str().into());
        fields.insert("ts".to_owned(), self.ts.as_str().into());
        fields.insert(
            "channel_values".to_owned(),
            self.channel_values.clone().into(),
        );
        let versions = versions_to_json(&self.channel_versions);
        fields.insert("channel_versions".to_owned(), versions);
        let seen = seen.map(|(node, seen)| (node.clone(), versions_to_json(seen)));
        fields.insert("versions_seen".to_owned(), seen.collect());
        if let Some(channels) = &self.updated_channels {
            fields.insert("updated_channels".to_owned(), channels.as_slice().into());
        }
        Value::Object(fields)
    }
}

fn versions_to_json(versions: &ChannelVersions) -> Value {
    versions
        .iter()
        .map(|(channel, version)| (channel.clone(), version.to_json()))
        .collect()
}

fn versions(field: &str, versions: Map<String, Value>) -> Result<ChannelVersions> {
    versions
        .into_iter()
        .map(|(channel, value)| {
            // An integer too large for a version would come back as a float.
            let version = Version::from_json(&value)
                .filter(|version| !(matches!(version, Version::Float(_)) && value.is_u64()));
            match version {
                Some(version) => Ok((channel, version)),
                None => Err(malformed(
                    &format!("{field}.{channel}"),
                    "a string, a float or an integer of 64 bits",
                )),
            }
        })
        .collect()
}

fn take<T>(
    fields: &mut Map<String, Value>,
    field: &str,
    expected: &'static str,
    read: impl FnOnce(Value) -> Option<T>,
) -> Result<T> {
    fields
        .remove(field)
        .and_then(read)
        .ok_or_else(|| malformed(field, expected))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

fn strings(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    items.map(|item| item.as_str().map(str::to_owned)).collect()
}

fn malformed(field: &str, expected: &'static str) -> Error {
    Error::MalformedCheckpoint {
        field: field.to_owned(),
        expected,
    }
}

#[cfg(test)]
mod tests;
