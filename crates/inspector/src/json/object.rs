//! JSON objects that people write.

use std::fmt;

use checkpointer::serde_json::{self, Map, Value};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::changed_number;

/// Reads a JSON object in which no key is twice. `serde_json` takes the last of two, and the other is lost.
///
/// # Errors
///
/// If it isn't a JSON object, one of its own keys is there twice, or a number in it would have another value
/// once it is read.
///
/// # Examples
///
/// ```
/// use inspector::json::object;
///
/// assert_eq!(object(r#"{ "plan": "wait" }"#)?["plan"], "wait");
/// assert!(object(r#"{ "plan": "wait", "plan": "act" }"#).is_err());
/// assert!(object(r#"{ "account": 49001234567890123456789 }"#).is_err());
/// # Ok::<(), checkpointer::serde_json::Error>(())
/// ```
pub fn object(text: &str) -> Result<Map<String, Value>, serde_json::Error> {
    let Members(members) = serde_json::from_str(text)?;
    match changed_number(text) {
        None => Ok(members),
        Some(number) => Err(serde_json::Error::custom(format_args!(
            "the number {number} would lose digits; write it as a text, in quotes"
        ))),
    }
}

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
