//! JSON on the command line.

use std::fmt;

use anyhow::{Context, anyhow};
use checkpointer::serde_json::map::Entry;
use checkpointer::serde_json::{self, Map, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::exit::Failure;

/// Reads `key=value`, where the value is JSON or else a text, or a whole JSON object.
pub(crate) fn members(text: &str) -> anyhow::Result<Map<String, Value>> {
    if text.trim_start().starts_with('{') {
        let members = serde_json::from_str(text);
        let Members(members) =
            members.map_err(|error| anyhow!("it isn't a JSON object: {error}"))?;
        return Ok(members);
    }
    let (key, value) = text
        .split_once('=')
        .context("it must be `key=value` or a JSON object")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok(Map::from_iter([(key.to_owned(), value)]))
}

/// All members of what an option was given several times; none if there are none. A key that has two values
/// is refused: one of them would be lost.
pub(crate) fn joined(
    option: &str,
    all: &[Map<String, Value>],
) -> anyhow::Result<Option<Map<String, Value>>> {
    let mut joined: Map<String, Value> = Map::new();
    for (key, value) in all.iter().flatten() {
        match joined.entry(key) {
            Entry::Occupied(other) if other.get() != value => {
                let what = format!("{option} has two values for `{key}`");
                return Err(Failure::usage(what));
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(entry) => {
                entry.insert(value.clone());
            }
        }
    }
    Ok((!joined.is_empty()).then_some(joined))
}

/// A JSON object in which no key is twice. `serde_json` takes the last of two.
struct Members(Map<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Each)
    }
}

struct Each;

impl<'de> Visitor<'de> for Each {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Map::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if members.contains_key(&key) {
                return Err(A::Error::custom(format_args!(
                    "the key `{key}` is there twice"
                )));
            }
            members.insert(key, value);
        }
        Ok(Members(members))
    }
}
