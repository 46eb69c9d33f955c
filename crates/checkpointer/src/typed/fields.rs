//! The fields that a type reads, as its `Deserialize` names them.

use std::fmt;

use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Returns the names of the fields that a struct reads; none if the type is no struct, or one with a
/// flattened field.
pub(super) fn of<State: DeserializeOwned>() -> Option<&'static [&'static str]> {
    State::deserialize(Probe { wrappers: 0 }).err()?.0
}

/// Types around a struct that are looked through: a type may wrap itself without end.
const MAX_WRAPPERS: u8 = 16;

/// Gives no state, but hears from the type of which fields it is made.
struct Probe {
    /// Options and newtypes that were looked through.
    wrappers: u8,
}

impl Probe {
    fn inside(self) -> Result<Self, Heard> {
        match self.wrappers {
            MAX_WRAPPERS => Err(Heard(None)),
            wrappers => Ok(Self {
                wrappers: wrappers + 1,
            }),
        }
    }
}

/// What the probe has heard.
#[derive(Debug)]
struct Heard(Option<&'static [&'static str]>);

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("there is nothing to read")
    }
}

impl std::error::Error for Heard {}

impl de::Error for Heard {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self(None)
    }
}

impl<'de> Deserializer<'de> for Probe {
    type Error = Heard;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Heard> {
        Err(Heard(Some(fields)))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Heard> {
        visitor.visit_newtype_struct(self.inside()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Heard> {
        visitor.visit_some(self.inside()?)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Heard> {
        Err(Heard(None))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
