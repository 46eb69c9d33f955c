//! JSON on the command line.

use anyhow::{Context, anyhow};
use checkpointer::serde_json::map::Entry;
use checkpointer::serde_json::{self, Map, Value};
use inspector::json;

use super::exit::Failure;

/// Reads `key=value`, where the value is JSON or else a text, or a whole JSON object. A number that JSON would
/// change is refused.
pub(crate) fn members(text: &str) -> anyhow::Result<Map<String, Value>> {
    if text.trim_start().starts_with('{') {
        let members = json::object(text);
        return members.map_err(|error| anyhow!("it isn't a JSON object: {error}"));
    }
    let (key, value) = text
        .split_once('=')
        .context("it must be `key=value` or a JSON object")?;
    let value = match serde_json::from_str(value) {
        Ok(read) => match json::changed_number(value) {
            None => read,
            Some(number) => {
                return Err(anyhow!(
                    "the number {number} would lose digits; write it as a text, in quotes"
                ));
            }
        },
        Err(_) => value.into(),
    };
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

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_number_that_would_lose_digits_is_refused() {
        for text in [
            "account=49001234567890123456789",
            r#"account={ "number": 49001234567890123456789 }"#,
            r#"{ "account": [49001234567890123456789] }"#,
        ] {
            let error = members(text).unwrap_err().to_string();
            let expected = "the number 49001234567890123456789 would lose digits";
            assert!(error.contains(expected), "{error}");
        }
        let text = members(r#"account="49001234567890123456789""#).unwrap();
        assert_eq!(text["account"], "49001234567890123456789");
    }
}
