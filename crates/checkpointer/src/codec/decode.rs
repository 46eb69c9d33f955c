//! Reading what `encode` has written.

use memchr::memmem;
use serde_json::{Map, Value};

use super::escape::{self, Stored};
use super::number::{self, ARBITRARY_PRECISION};
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
    /// The number can't be held exactly: it was written with `arbitrary_precision`.
    #[error("a number that this program can't hold exactly at `{path}`")]
    Number {
        /// The place inside the value.
        path: Path,
    },
}

/// Reads JSON text that was written by [`encode`](super::encode()), in the form in
/// which JSONB gives it back.
///
/// # Errors
///
/// [`DecodeError`] if it can't have been written so, or if this program can't
/// hold a number in it exactly.
pub(crate) fn decode(text: &[u8]) -> Result<Value, DecodeError> {
    let mut value = serde_json::from_slice(text).map_err(|source| DecodeError::Json { source })?;
    if *ARBITRARY_PRECISION || memmem::find(text, br"\u0001").is_some() {
        restore(&mut value)?;
    }
    Ok(value)
}

/// Goes no deeper than the parser did, which ends at 127.
fn restore(value: &mut Value) -> Result<(), DecodeError> {
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
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                restore(value).map_err(|error| error.inside(|path| path.push_key(key)))?;
            }
            if map.keys().any(|key| escape::text_needs_escape(key)) {
                restore_keys(map)?;
            }
        }
    }
    Ok(())
}

fn restore_keys(map: &mut Map<String, Value>) -> Result<(), DecodeError> {
    for (stored, value) in std::mem::take(map) {
        let key = match escape::read(&stored) {
            Some(Stored::Plain) => stored,
            // No two stored keys stand for the same one: a key that needs no
            // escape is never escaped.
            Some(Stored::Text(key)) if escape::key_needs_escape(&key) => key,
            _ => {
                let mut path = Path::default();
                path.push_key(&stored);
                return Err(DecodeError::Escape { path });
            }
        };
        map.insert(key, value);
    }
    Ok(())
}

impl DecodeError {
    fn inside(mut self, push: impl FnOnce(&mut Path)) -> Self {
        match &mut self {
            Self::Json { .. } => {}
            Self::Escape { path } | Self::Number { path } => push(path),
        }
        self
    }
}
