//! A state as a checkpoint has it, to be read without a copy of it.

use std::sync::Arc;

use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};
use serde_path_to_error::Error as ErrorAt;

use super::to_value::Top;
use crate::ChannelValues;
use crate::channels::ROOT;

/// A state as the channels of a checkpoint have it, or as an upgrade has made it.
pub(super) enum StoredState {
    /// Each field of a struct in a channel.
    Fields(ChannelValues),
    /// Any other state.
    Root(Arc<Value>),
}

impl StoredState {
    pub(super) fn new(mut values: ChannelValues) -> Self {
        match values.remove(ROOT) {
            Some(root) => Self::Root(root),
            None => Self::Fields(values),
        }
    }

    /// Changes the state as JSON. The fields of a struct stay fields if they are an object afterwards.
    pub(super) fn upgraded<E>(
        self,
        upgrade: impl FnOnce(Value) -> Result<Value, E>,
    ) -> Result<Self, E> {
        let is_struct = matches!(self, Self::Fields(_));
        Ok(match upgrade(self.into())? {
            Value::Object(fields) if is_struct => Self::Fields(fields.into_iter().collect()),
            state => Self::Root(Arc::new(state)),
        })
    }

    pub(super) fn read<State: DeserializeOwned>(&self) -> Result<State, ErrorAt<Error>> {
        match self {
            Self::Fields(fields) => serde_path_to_error::deserialize(Fields(fields)),
            Self::Root(root) => serde_path_to_error::deserialize(&**root),
        }
    }
}

impl From<Top> for StoredState {
    fn from(top: Top) -> Self {
        match top {
            Top::Fields(fields) => Self::Fields(fields.into_iter().collect()),
            Top::Root(root) => Self::Root(Arc::new(root)),
        }
    }
}

impl From<StoredState> for Value {
    fn from(state: StoredState) -> Self {
        match state {
            StoredState::Fields(fields) => fields.into(),
            StoredState::Root(root) => Arc::unwrap_or_clone(root),
        }
    }
}

/// Reads as `serde_json` reads the object of the fields. What reads a struct, or anything that it finds,
/// is given the values themselves. The rest is given a copy: only `serde_json` can tell what a key stands for
/// in a map whose keys are numbers.
struct Fields<'de>(&'de ChannelValues);

impl Fields<'_> {
    fn copied(&self) -> Value {
        self.0.clone().into()
    }
}

impl<'de> Deserializer<'de> for Fields<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let fields = self.0.iter();
        let fields = fields.map(|(field, value)| (field.as_str(), value));
        let mut fields = MapDeserializer::new(fields);
        let read = visitor.visit_map(&mut fields)?;
        fields.end()?;
        Ok(read)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.copied().deserialize_map(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.copied().deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.copied().deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct struct identifier ignored_any
    }
}
