//! Reading what `encode` has written.

use memchr::memmem;
use serde_json::{Map, Value};

use super::encode::ORDER_KEY;
use super::escape::{self, Stored};
use super::hash::{self, ContentHash};
use super::number::{self, ARBITRARY_PRECISION};
use super::order;
use super::refused::Path;

/// A stored value that can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DecodeError {
    /// It isn't JSON that `serde_json` reads.
    #[error("failed to parse stored JSON")]
    Json {
        /// The parser's error.
        source: serde_json::Error,
    },
    /// The escape character is used in a way this crate never writes.
    #[error("a string that is not escaped as this crate does at `{path}`")]
    Escape {
        /// The place inside the value.
        path: Path,
    },
    /// The order of an object's keys isn't one of its keys.
    #[error("an object whose keys can't have the stored order at `{path}`")]
    Order {
        /// The place inside the value.
        path: Path,
    },
    /// The number can't be held exactly: it was written with `arbitrary_precision`.
    #[error("a number that this program can't hold exactly at `{path}`")]
    Number {
        /// The place inside the value.
        path: Path,
    },
}

/// The form of values that were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// They are what was put.
    Plain,
    /// They are as they are stored.
    Stored,
    /// The same, and objects have an order of keys that this program can't keep.
    Ordered,
}

/// Reads JSON text that was written by [`encode`](super::encode()), in the form in
/// which JSONB gives it back.
///
/// # Errors
///
/// [`DecodeError`] if it can't have been written so, or if this program can't
/// hold a number in it exactly.
pub(crate) fn decode(text: &[u8]) -> Result<Value, DecodeError> {
    let (mut value, form) = parse(text)?;
    form.restore(&mut value)?;
    Ok(value)
}

/// Reads such a text for a caller that takes it apart and restores the parts.
///
/// # Errors
///
/// [`DecodeError::Json`].
pub(crate) fn parse(text: &[u8]) -> Result<(Value, Form), DecodeError> {
    let value = serde_json::from_slice(text).map_err(|source| DecodeError::Json { source })?;
    let is_escaped = memmem::find(text, br"\u0001").is_some();
    let form = if order::is_kept() {
        Form::Stored
    } else if is_escaped && memmem::find(text, ORDER_KEY).is_some() {
        Form::Ordered
    } else if is_escaped || *ARBITRARY_PRECISION {
        Form::Stored
    } else {
        Form::Plain
    };
    Ok((value, form))
}

impl Form {
    /// Gives a value that was read the form in which it was put.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if it can't have been stored so, or if this program can't hold a number in it
    /// exactly.
    pub(crate) fn restore(self, value: &mut Value) -> Result<(), DecodeError> {
        match self {
            Self::Plain => Ok(()),
            Self::Stored | Self::Ordered => restore(value),
        }
    }

    /// Does the same, and computes the hash of what was put.
    ///
    /// # Errors
    ///
    /// As for [`restore`](Self::restore).
    pub(crate) fn restore_and_hash(self, value: &mut Value) -> Result<ContentHash, DecodeError> {
        let ordered = (self == Self::Ordered).then(|| hash::hash_ordered(value));
        self.restore(value)?;
        Ok(ordered.unwrap_or_else(|| hash::hash(value)))
    }

    /// Gives an object's key that was read the form in which it was put.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Escape`] if it can't have been stored so.
    pub(crate) fn restore_key(self, key: String) -> Result<String, DecodeError> {
        match self {
            Self::Plain => Ok(key),
            Self::Stored | Self::Ordered => restore_key(key),
        }
    }
}

/// Goes no deeper than the parser did, which ends at 127.
pub(super) fn restore(value: &mut Value) -> Result<(), DecodeError> {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            if *ARBITRARY_PRECISION {
                number::restore(number);
            }
        }
        Value::String(text) => {
            let restored = match escape::read(text) {
                Some(Stored::Plain) => return Ok(()),
                Some(Stored::Text(text)) if escape::text_needs_escape(&text) => Value::String(text),
                Some(Stored::Number(number)) => match number::parse(number) {
                    Some(number) => Value::Number(number),
                    None => {
                        return Err(DecodeError::Number {
                            path: Path::default(),
                        });
                    }
                },
                _ => {
                    return Err(DecodeError::Escape {
                        path: Path::default(),
                    });
                }
            };
            *value = restored;
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                restore(item).map_err(|error| error.inside(|path| path.push_index(index)))?;
            }
        }
        Value::Object(map) => restore_object(map)?,
    }
    Ok(())
}

fn restore_object(map: &mut Map<String, Value>) -> Result<(), DecodeError> {
    let places = map.remove(escape::ORDER);
    for (key, value) in map.iter_mut() {
        restore(value).map_err(|error| error.inside(|path| path.push_key(key)))?;
    }
    if map.keys().any(|key| escape::text_needs_escape(key)) {
        restore_keys(map)?;
    }
    order::restore_places(map, places.as_ref()).ok_or_else(|| DecodeError::Order {
        path: Path::default(),
    })
}

fn restore_keys(map: &mut Map<String, Value>) -> Result<(), DecodeError> {
    for (stored, value) in std::mem::take(map) {
        map.insert(restore_key(stored)?, value);
    }
    Ok(())
}

/// No two stored keys stand for the same one: a key that needs no escape is never escaped.
fn restore_key(stored: String) -> Result<String, DecodeError> {
    match escape::read(&stored) {
        Some(Stored::Plain) => Ok(stored),
        Some(Stored::Text(key)) if escape::key_needs_escape(&key) => Ok(key),
        _ => {
            let mut path = Path::default();
            path.push_key(&stored);
            Err(DecodeError::Escape { path })
        }
    }
}

impl DecodeError {
    fn inside(mut self, push: impl FnOnce(&mut Path)) -> Self {
        match &mut self {
            Self::Json { .. } => {}
            Self::Escape { path } | Self::Order { path } | Self::Number { path } => push(path),
        }
        self
    }
}
