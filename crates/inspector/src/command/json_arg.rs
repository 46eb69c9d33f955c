//! JSON on the command line.

use anyhow::{Context, bail};
use checkpointer::serde_json::{self, Map, Value};

/// Reads `key=value`, where the value is JSON or else a text, or a whole JSON object.
pub(crate) fn members(text: &str) -> anyhow::Result<Map<String, Value>> {
    if text.trim_start().starts_with('{') {
        return match serde_json::from_str(text).context("it isn't a JSON object")? {
            Value::Object(map) => Ok(map),
            _ => bail!("it isn't a JSON object"),
        };
    }
    let (key, value) = text
        .split_once('=')
        .context("it must be `key=value` or a JSON object")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok(Map::from_iter([(key.to_owned(), value)]))
}

/// All members of several; none if there are none.
pub(crate) fn joined(all: &[Map<String, Value>]) -> Option<Map<String, Value>> {
    let joined: Map<String, Value> = (all.iter().flatten())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    (!joined.is_empty()).then_some(joined)
}
