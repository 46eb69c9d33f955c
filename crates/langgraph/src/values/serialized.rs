//! A value as LangGraph's serialiser gives it.

use serde_json::{Map, Value};

use super::Malformed;
use super::bytes;
use super::form::{TAG, VALUE, tag};
use super::from_json::{bytes_of, exactly, from_json, text, value_of};
use super::to_json::{to_json, with_value};
use crate::{Error, Result};

/// A value as `dumps_typed` of LangGraph's serialiser gives it: the name of a type, and bytes.
///
/// # Examples
///
/// ```
/// use langgraph::Serialized;
/// use serde_json::json;
///
/// // A Python set: {1, 2}
/// let stored = Serialized::new("msgpack", b"\xc7\x11\x00\x93\xa8builtins\xa3set\x92\x01\x02");
/// let form = stored.to_json();
/// assert_eq!(form, json!({ "!": "0 builtins set", "v": [1, 2] }));
/// assert_eq!(Serialized::from_json(&form)?, stored);
/// # Ok::<(), langgraph::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serialized {
    /// What the bytes are: `msgpack`, `null`, `bytes`, `json`, or any other text.
    pub type_name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Serialized {
    /// Takes what LangGraph's serialiser gave.
    #[must_use]
    pub fn new(type_name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            type_name: type_name.into(),
            bytes: bytes.into(),
        }
    }

    /// Returns the form of the value as JSON, which [`from_json`](Self::from_json) turns into the
    /// same type and bytes.
    ///
    /// Nothing is refused: bytes that can't be decoded, or that decode to what other bytes say
    /// shorter, have a form that holds them as they are. No class is looked up, and no code of the
    /// value is run.
    ///
    /// The form of a list is the list of its items' forms, so a list can be put together from items
    /// that were serialised one by one.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let Self { type_name, bytes } = self;
        let form = match type_name.as_str() {
            "null" if bytes.is_empty() => Some(Value::Null),
            "bytes" => Some(with_value(tag::BYTES, bytes::to_text(bytes))),
            "bytearray" => Some(with_value(tag::BYTEARRAY, bytes::to_text(bytes))),
            "json" => std::str::from_utf8(bytes)
                .ok()
                .map(|text| with_value(tag::JSON, text)),
            "msgpack" => to_json(bytes).filter(|form| !is_other_type(form)),
            _ => None,
        };
        let mut form = form.unwrap_or_else(|| self.opaque());
        // The form has its own order of keys, and must not depend on how `serde_json` was built.
        form.sort_all_objects();
        form
    }

    fn opaque(&self) -> Value {
        let mut form = Map::new();
        form.insert(TAG.to_owned(), tag::OPAQUE.into());
        form.insert("type".to_owned(), self.type_name.as_str().into());
        form.insert(VALUE.to_owned(), bytes::to_text(&self.bytes).into());
        Value::Object(form)
    }

    /// Turns a form back into the value.
    ///
    /// JSON without a tag is a form too: an object is a Python dict, with its keys sorted.
    ///
    /// # Errors
    ///
    /// [`Error::MalformedValue`] if it is no form that this version knows.
    pub fn from_json(form: &Value) -> Result<Self> {
        read(form).map_err(|source| Error::MalformedValue { source })
    }
}

/// Whether a value has a type of its own when it isn't inside another: `ormsgpack` isn't asked to
/// write such a value.
fn is_other_type(form: &Value) -> bool {
    form.is_null() || tag_of(form) == Some(tag::BYTES)
}

/// Whether a form holds the bytes of its value as they are.
pub(crate) fn is_opaque(form: &Value) -> bool {
    tag_of(form) == Some(tag::OPAQUE)
}

fn tag_of(form: &Value) -> Option<&str> {
    form.as_object()?.get(TAG)?.as_str()
}

fn read(form: &Value) -> Result<Serialized, Malformed> {
    let Some(object) = form.as_object() else {
        return match form {
            Value::Null => Ok(Serialized::new("null", [])),
            _ => Ok(Serialized::new("msgpack", from_json(form)?)),
        };
    };
    match tag_of(form) {
        Some(kind @ (tag::BYTES | tag::BYTEARRAY)) => {
            Ok(Serialized::new(kind, bytes_of(value_of(object)?)?))
        }
        Some(tag::JSON) => Ok(Serialized::new("json", text(value_of(object)?)?)),
        Some(tag::OPAQUE) => {
            let [type_name, value] = exactly(object, ["type", VALUE])?;
            Ok(Serialized::new(text(type_name)?, bytes_of(value)?))
        }
        _ => Ok(Serialized::new("msgpack", from_json(form)?)),
    }
}
