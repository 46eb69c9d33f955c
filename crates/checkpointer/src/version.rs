//! The version of a channel.

use std::fmt;

use serde_json::Value;

/// How often a channel changed, as the graph runtime counts it.
///
/// A version is compared with the version before it and says nothing about the value: two forks may
/// use the same version for different values.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Version {
    /// A counter, as LangGraph.js makes it.
    Int(i64),
    /// A fractional counter, as some older runtimes made it.
    Float(f64),
    /// Text that sorts by age, as LangGraph's Postgres saver makes it.
    Text(String),
}

impl Version {
    /// Reads a version from JSON: a number or a string.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self::Text(text.clone())),
            Value::Number(number) => match number.as_i64() {
                Some(int) => Some(Self::Int(int)),
                None => number.as_f64().map(Self::Float),
            },
            _ => None,
        }
    }

    /// Whether a channel of both versions didn't change between them. Numbers are the same as they are in
    /// JSONB, where versions are stored: `1` is `1.0`, and `-0.0` is no other.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Int(int), Self::Float(float)) | (Self::Float(float), Self::Int(int)) => {
                int.to_string() == float.to_string()
            }
            (Self::Float(one), Self::Float(other)) => {
                one == other && one.is_sign_negative() == other.is_sign_negative()
            }
            _ => self == other,
        }
    }

    /// Returns the version as JSON.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Int(int) => Value::from(*int),
            Self::Float(float) => Value::from(*float),
            Self::Text(text) => Value::from(text.as_str()),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => int.fmt(f),
            Self::Float(float) => float.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl From<i64> for Version {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<&str> for Version {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Version {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
