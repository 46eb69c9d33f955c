use std::cell::Cell;

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Map, Value};

use crate::codec::{MAX_DEPTH, PRIVATE, Reason, Refused};

#[cfg(test)]
mod tests;

/// A typed state as JSON, by the shape of its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Top {
    /// A struct: each field is a channel.
    Fields(Map<String, Value>),
    /// Anything else, a struct with a flattened field included, which serde
    /// presents as a map.
    Root(Value),
}

/// Converts a typed state as `serde_json::to_value` does, but refuses what that
/// would silently change. What a `RawValue` holds has been through the parser of
/// `serde_json` before, which rounds integers beyond 64 bits.
///
/// # Errors
///
/// [`Refused`] with the path to the field, if a float is not finite, an integer
/// is beyond 64 bits, a map's key is nothing that can be a string, or the state
/// is nested deeper than [`MAX_DEPTH`], where the fields of [`Top::Fields`] count
/// each for itself.
pub(crate) fn to_value<T: Serialize + ?Sized>(state: &T) -> Result<Top, Refused> {
    let is_struct = Cell::new(false);
    let level = Level {
        depth: 0,
        is_struct: Some(&is_struct),
    };
    Ok(match state.serialize(level)? {
        Value::Object(fields) if is_struct.get() => Top::Fields(fields),
        other => Top::Root(other),
    })
}

/// The serializer of a value that lies inside `depth` arrays and objects.
#[derive(Clone, Copy)]
struct Level<'a> {
    depth: usize,
    /// Where the outermost value says that it is a struct.
    is_struct: Option<&'a Cell<bool>>,
}

impl Level<'_> {
    fn inside(self) -> Result<Level<'static>, Refused> {
        if self.depth >= MAX_DEPTH {
            return Err(Refused::new(Reason::TooDeep { limit: MAX_DEPTH }));
        }
        Ok(Level {
            depth: self.depth + 1,
            is_struct: None,
        })
    }

    fn items(self, len: usize) -> Result<Items, Refused> {
        Ok(Items {
            level: self.inside()?,
            variant: None,
            items: Vec::with_capacity(len),
        })
    }

    fn entries(self) -> Result<Entries, Refused> {
        self.inside().map(Entries::new)
    }
}

/// The methods for what always fits.
macro_rules! fits {
    ($($method:ident($type:ty)),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<Value, Refused> {
            Ok(value.into())
        }
    )*};
}

impl Serializer for Level<'_> {
    type Ok = Value;
    type Error = Refused;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Entries;

    fits! {
        serialize_bool(bool),
        serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_str(&str), serialize_bytes(&[u8]),
    }

    fn serialize_i128(self, value: i128) -> Result<Value, Refused> {
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => Ok(value.into()),
            (_, Ok(value)) => Ok(value.into()),
            _ => Err(Refused::new(Reason::IntegerOutOfRange)),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<Value, Refused> {
        match u64::try_from(value) {
            Ok(value) => Ok(value.into()),
            Err(_) => Err(Refused::new(Reason::IntegerOutOfRange)),
        }
    }

    fn serialize_f32(self, value: f32) -> Result<Value, Refused> {
        finite(value.is_finite(), value)
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Refused> {
        finite(value.is_finite(), value)
    }

    fn serialize_char(self, value: char) -> Result<Value, Refused> {
        Ok(Value::String(value.into()))
    }

    fn serialize_unit(self) -> Result<Value, Refused> {
        Ok(Value::Null)
    }

    fn serialize_none(self) -> Result<Value, Refused> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Refused> {
        value.serialize(self)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, Refused> {
        Ok(Value::Null)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Value, Refused> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, Refused> {
        Ok(variant.into())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Refused> {
        let mut entries = self.entries()?;
        entries.put(variant.to_owned(), value)?;
        Ok(Value::Object(entries.map))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items, Refused> {
        self.items(len.unwrap_or(0))
    }

    fn serialize_tuple(self, len: usize) -> Result<Items, Refused> {
        self.items(len)
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items, Refused> {
        self.items(len)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items, Refused> {
        Ok(Items {
            variant: Some(variant),
            ..self.inside()?.items(len)?
        })
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Entries, Refused> {
        self.entries()
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields, Refused> {
        if name.starts_with(PRIVATE) {
            let fields = serde_json::value::Serializer.serialize_struct(name, len);
            return fields.map(Fields::Private).map_err(Refused::custom);
        }
        let level = match self.is_struct {
            // Its fields are stored each for itself, not inside an object.
            Some(is_struct) => {
                is_struct.set(true);
                Level {
                    depth: 0,
                    is_struct: None,
                }
            }
            None => self.inside()?,
        };
        Ok(Fields::Plain(Entries::new(level)))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Entries, Refused> {
        Ok(Entries {
            variant: Some(variant),
            ..self.inside()?.entries()?
        })
    }
}

fn finite(is_finite: bool, value: impl Into<Value>) -> Result<Value, Refused> {
    if is_finite {
        Ok(value.into())
    } else {
        Err(Refused::new(Reason::NotFinite))
    }
}

/// Wraps the content of an enum's variant in an object with the variant's name.
fn in_variant(variant: Option<&'static str>, content: Value) -> Value {
    match variant {
        Some(variant) => Value::Object(Map::from_iter([(variant.to_owned(), content)])),
        None => content,
    }
}

/// An array under construction.
struct Items {
    level: Level<'static>,
    variant: Option<&'static str>,
    items: Vec<Value>,
}

impl Items {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        let item = value.serialize(self.level).map_err(|refused| {
            let refused = refused.in_index(self.items.len());
            match self.variant {
                Some(variant) => refused.in_key(variant),
                None => refused,
            }
        })?;
        self.items.push(item);
        Ok(())
    }

    fn finish(self) -> Value {
        in_variant(self.variant, Value::Array(self.items))
    }
}

/// An object under construction.
struct Entries {
    level: Level<'static>,
    variant: Option<&'static str>,
    /// The key whose value comes next, in a map.
    key: String,
    map: Map<String, Value>,
}

impl Entries {
    fn new(level: Level<'static>) -> Self {
        Self {
            level,
            variant: None,
            key: String::new(),
            map: Map::new(),
        }
    }

    fn put<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), Refused> {
        let value = value.serialize(self.level).map_err(|refused| {
            let refused = refused.in_key(&key);
            match self.variant {
                Some(variant) => refused.in_key(variant),
                None => refused,
            }
        })?;
        self.map.insert(key, value);
        Ok(())
    }

    fn finish(self) -> Value {
        in_variant(self.variant, Value::Object(self.map))
    }
}

/// A struct under construction.
enum Fields {
    Plain(Entries),
    /// One of `serde_json`'s own, such as a `Number` with `arbitrary_precision`.
    Private(<serde_json::value::Serializer as Serializer>::SerializeStruct),
}

/// A key as `serde_json` writes it. Its serializer for keys is private, so it is
/// asked for an object of one key.
fn key_text<T: Serialize + ?Sized>(key: &T) -> Result<String, serde_json::Error> {
    let mut object = serde_json::value::Serializer.serialize_map(Some(1))?;
    object.serialize_entry(key, &())?;
    match SerializeMap::end(object)? {
        Value::Object(map) => map.into_iter().next().map(|(key, _)| key),
        _ => None,
    }
    .ok_or_else(|| serde_json::Error::custom("key must be a string"))
}

/// The traits by which serde hands over the members of an array.
macro_rules! items {
    ($($trait:ident::$method:ident),* $(,)?) => {$(
        impl $trait for Items {
            type Ok = Value;
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                self.push(value)
            }

            fn end(self) -> Result<Value, Refused> {
                Ok(self.finish())
            }
        }
    )*};
}

items! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

impl SerializeMap for Entries {
    type Ok = Value;
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.key = key_text(key).map_err(Refused::custom)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        let key = std::mem::take(&mut self.key);
        self.put(key, value)
    }

    fn end(self) -> Result<Value, Refused> {
        Ok(self.finish())
    }
}

impl SerializeStruct for Fields {
    type Ok = Value;
    type Error = Refused;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        match self {
            Self::Plain(entries) => entries.put(key.to_owned(), value),
            Self::Private(fields) => fields.serialize_field(key, value).map_err(Refused::custom),
        }
    }

    fn end(self) -> Result<Value, Refused> {
        match self {
            Self::Plain(entries) => Ok(entries.finish()),
            Self::Private(fields) => SerializeStruct::end(fields).map_err(Refused::custom),
        }
    }
}

impl SerializeStructVariant for Entries {
    type Ok = Value;
    type Error = Refused;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        self.put(key.to_owned(), value)
    }

    fn end(self) -> Result<Value, Refused> {
        Ok(self.finish())
    }
}
