//! What a person writes to find threads: JSON, or words such as `customer=ann tier=3`.

use checkpointer::serde_json::map::Entry;
use checkpointer::serde_json::{Map, Value};

use super::problem::Problem;
use super::shown;
use crate::json;

/// Reads a filter; none if it is empty.
pub(super) fn parse(text: &str) -> Result<Option<Map<String, Value>>, Problem> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    if text.starts_with('{') {
        return json::object(text)
            .map(Some)
            .map_err(|error| Problem::malformed(format!("no JSON object: {error}")));
    }
    let mut filter = Map::new();
    for word in text.split_whitespace() {
        let (key, value) = pair(word)?;
        match filter.entry(key) {
            Entry::Occupied(other) if *other.get() != value => {
                let key = shown::start(other.key(), 80);
                return Err(Problem::malformed(format!(
                    "the filter has two values for `{key}`"
                )));
            }
            entry => {
                entry.or_insert(value);
            }
        }
    }
    Ok(Some(filter))
}

/// Reads `key=value`. The value is JSON, or a text without quotes.
fn pair(word: &str) -> Result<(String, Value), Problem> {
    let pair = word.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| {
        Problem::malformed("a filter is a JSON object, or words such as customer=ann tier=3")
    })?;
    let value = checkpointer::serde_json::from_str(value).unwrap_or_else(|_| value.into());
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use checkpointer::serde_json::{Value, json};

    use super::parse;

    #[test]
    fn words_and_json_say_the_same() {
        let expected = json!({ "customer": "ann", "tier": 3, "open": true });
        let words = parse(" customer=ann tier=3  open=true ").unwrap();
        assert_eq!(Value::from(words.unwrap()), expected);
        let json = parse(r#"{ "customer": "ann", "tier": 3, "open": true }"#).unwrap();
        assert_eq!(Value::from(json.unwrap()), expected);
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        assert!(parse("ann").is_err());
        assert!(parse("{").is_err());
        assert!(parse("=3").is_err());
        // One of two values would be lost.
        assert!(parse("tier=1 tier=2").is_err());
        assert!(parse(r#"{ "tier": 1, "tier": 2 }"#).is_err());
        assert!(parse("tier=1 tier=1").is_ok());
        assert_eq!(parse("  ").unwrap(), None);
    }
}
