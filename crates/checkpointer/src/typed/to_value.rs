//! A typed state as JSON, without what JSON would silently change.

use std::any::type_name;

use serde::Serialize;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::lists::{Growing, Growth};
use super::log::{self, LogId};
use super::notes::{Kind, Notes, Place, Present};
use crate::codec::{MAX_DEPTH, PRIVATE, Reason, Refused, order};

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

/// Converts a typed state as `serde_json::to_value` does, but refuses what that would silently change,
/// and notes what it has seen. Keys are sorted, except those of `serde_json`'s own objects: a
/// `HashMap` would have another order in each process. What a `RawValue` holds has been through the parser of `serde_json`
/// before, which rounds integers beyond 64 bits.
///
/// If `growth` is there, the items of lists are left out that were saved before, and what was told of a
/// list that changed is of no use.
///
/// # Errors
///
/// [`Refused`] with the path to the field, if a float is not finite, an integer is beyond 64 bits, a
/// map's key is nothing that can be a string, an object has a key twice, or the state is nested deeper
/// than [`MAX_DEPTH`], where the fields of [`Top::Fields`] count each for itself.
pub(super) fn to_value<T: Serialize + ?Sized>(
    state: &T,
    notes: &Notes<'_>,
    growth: Option<&Growth<'_>>,
) -> Result<Top, Refused> {
    let level = Level {
        depth: 0,
        is_top: true,
        place: Place::TOP,
        notes,
        growth,
        log: None,
    };
    Ok(match state.serialize(level)? {
        Value::Object(fields) if notes.is_struct.get() => Top::Fields(fields),
        other => Top::Root(other),
    })
}

/// The serializer of a value that lies inside `depth` arrays and objects.
#[derive(Clone, Copy)]
struct Level<'a> {
    depth: usize,
    /// Whether it is the outermost value.
    is_top: bool,
    place: Place,
    notes: &'a Notes<'a>,
    /// What became of the lists, if the value is that of a channel, or holds those of channels.
    growth: Option<&'a Growth<'a>>,
    /// The log that it is, if it is one.
    log: Option<LogId>,
}

impl<'a> Level<'a> {
    fn inside(self) -> Result<Self, Refused> {
        if self.depth >= MAX_DEPTH {
            return Err(Refused::new(Reason::TooDeep { limit: MAX_DEPTH }));
        }
        Ok(Self {
            depth: self.depth + 1,
            is_top: false,
            growth: None,
            log: None,
            ..self
        })
    }

    fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    fn saw(self, kind: Kind) {
        self.notes.saw(self.place, kind);
    }

    /// What a variant of that name holds.
    fn variant(self, name: &str) -> Result<Self, Refused> {
        Ok(self.inside()?.at(self.place.named(name)))
    }

    fn items(self, len: usize, is_tuple: bool) -> Result<Items<'a>, Refused> {
        let inside = self.inside()?;
        Ok(Items {
            level: inside.at(self.place.items()),
            is_tuple,
            variant: None,
            list: None,
            items: Vec::with_capacity(len),
        })
    }

    fn entries(self) -> Result<Entries<'a>, Refused> {
        self.inside().map(Entries::new)
    }
}

/// The methods for what always fits.
macro_rules! fits {
    ($($kind:ident: $($method:ident($type:ty)),*;)*) => {$($(
        fn $method(self, value: $type) -> Result<Value, Refused> {
            self.saw(Kind::$kind);
            Ok(value.into())
        }
    )*)*};
}

impl<'a> Serializer for Level<'a> {
    type Ok = Value;
    type Error = Refused;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Items<'a>;
    type SerializeTupleStruct = Items<'a>;
    type SerializeTupleVariant = Items<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Entries<'a>;

    fits! {
        Bool: serialize_bool(bool);
        Int: serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
            serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64);
        Text: serialize_str(&str);
        Bytes: serialize_bytes(&[u8]);
    }

    fn serialize_i128(self, value: i128) -> Result<Value, Refused> {
        self.saw(Kind::Int);
        match (u64::try_from(value), i64::try_from(value)) {
            (Ok(value), _) => Ok(value.into()),
            (_, Ok(value)) => Ok(value.into()),
            _ => Err(Refused::new(Reason::IntegerOutOfRange)),
        }
    }

    fn serialize_u128(self, value: u128) -> Result<Value, Refused> {
        self.saw(Kind::Int);
        match u64::try_from(value) {
            Ok(value) => Ok(value.into()),
            Err(_) => Err(Refused::new(Reason::IntegerOutOfRange)),
        }
    }

    fn serialize_f32(self, value: f32) -> Result<Value, Refused> {
        self.saw(Kind::Float);
        finite(value.is_finite(), value)
    }

    fn serialize_f64(self, value: f64) -> Result<Value, Refused> {
        self.saw(Kind::Float);
        finite(value.is_finite(), value)
    }

    fn serialize_char(self, value: char) -> Result<Value, Refused> {
        self.saw(Kind::Text);
        Ok(Value::String(value.into()))
    }

    fn serialize_unit(self) -> Result<Value, Refused> {
        self.saw(Kind::Null);
        Ok(Value::Null)
    }

    fn serialize_none(self) -> Result<Value, Refused> {
        self.saw(Kind::Null);
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value, Refused> {
        let value = value.serialize(self)?;
        if !value.is_null() {
            self.saw(Kind::Some);
        } else if self.notes.saw_some_null(self.place) {
            return Err(Refused::new(Reason::SomeNull));
        }
        Ok(value)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value, Refused> {
        self.saw(Kind::Null);
        Ok(Value::Null)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<Value, Refused> {
        let log = log::told(name);
        value.serialize(Self { log, ..self })
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Value, Refused> {
        self.at(self.place.named(variant)).saw(Kind::Text);
        Ok(variant.into())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value, Refused> {
        let content = value.serialize(self.variant(variant)?);
        let content = content.map_err(|refused| refused.in_key(variant))?;
        Ok(in_variant(Some(variant), content))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items<'a>, Refused> {
        let list = self.growth.map(|growth| growth.list(self.log));
        // Of a list that was saved before, few items are new.
        let len = match list {
            Some(_) => 0,
            None => len.unwrap_or(0),
        };
        Ok(Items {
            list,
            ..self.items(len, false)?
        })
    }

    fn serialize_tuple(self, len: usize) -> Result<Items<'a>, Refused> {
        self.items(len, true)
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items<'a>, Refused> {
        self.items(len, true)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Items<'a>, Refused> {
        Ok(Items {
            variant: Some(variant),
            ..self.variant(variant)?.items(len, true)?
        })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Entries<'a>, Refused> {
        self.saw(Kind::Entries);
        Ok(Entries {
            // A struct with a flattened field doesn't say how many entries it has.
            has_fields: len.is_none(),
            ..self.entries()?
        })
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Fields<'a>, Refused> {
        if name.starts_with(PRIVATE) {
            let fields = serde_json::value::Serializer.serialize_struct(name, len);
            return fields.map(Fields::Private).map_err(Refused::custom);
        }
        let level = if self.is_top {
            // Its fields are stored each for itself, not inside an object.
            self.notes.is_struct.set(true);
            Level {
                is_top: false,
                ..self
            }
        } else {
            self.inside()?
        };
        Ok(Fields::Plain(Entries::new(level)))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Entries<'a>, Refused> {
        Ok(Entries {
            variant: Some(variant),
            ..self.variant(variant)?.entries()?
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
struct Items<'a> {
    level: Level<'a>,
    /// Whether each item has a place of its own.
    is_tuple: bool,
    variant: Option<&'static str>,
    /// Finds out which items were saved before, in a channel's list.
    list: Option<Growing<'a>>,
    items: Vec<Value>,
}

impl Items<'_> {
    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        if let Some(list) = &mut self.list
            && list.leaves_out(value)
        {
            return Ok(());
        }
        let level = match self.is_tuple {
            true => self.level.at(self.level.place.nth(self.items.len())),
            false => self.level,
        };
        let item = value.serialize(level).map_err(|refused| {
            let refused = refused.in_index(self.left_out() + self.items.len());
            match self.variant {
                Some(variant) => refused.in_key(variant),
                None => refused,
            }
        })?;
        self.items.push(item);
        Ok(())
    }

    fn left_out(&self) -> usize {
        self.list.as_ref().map_or(0, Growing::left_out)
    }

    fn finish(self) -> Value {
        let Level { place, notes, .. } = self.level;
        match (self.is_tuple, self.left_out() + self.items.len()) {
            (true, len) => notes.saw_tuple(place, len),
            (false, 0) => notes.saw(place, Kind::NoItems),
            (false, _) => notes.saw(place, Kind::Items),
        }
        if let Some(list) = self.list {
            list.end();
        }
        in_variant(self.variant, Value::Array(self.items))
    }
}

/// An object under construction.
struct Entries<'a> {
    level: Level<'a>,
    variant: Option<&'static str>,
    /// Whether its keys are fields, or may be.
    has_fields: bool,
    /// Those of its keys that are fields.
    present: Present,
    /// The key whose value comes next, in a map.
    key: String,
    /// Whether a key came from something else than an object of `serde_json`.
    is_typed: bool,
    map: Map<String, Value>,
}

impl<'a> Entries<'a> {
    fn new(level: Level<'a>) -> Self {
        Self {
            level,
            variant: None,
            has_fields: true,
            present: Present::default(),
            key: String::new(),
            is_typed: false,
            map: Map::new(),
        }
    }

    fn put<T: Serialize + ?Sized>(&mut self, key: String, value: &T) -> Result<(), Refused> {
        if let Some(growth) = self.level.growth {
            growth.enter(&key);
        }
        self.is_typed |= !is_json::<T>();
        let place = match self.has_fields {
            true => {
                let place = self.level.place.named(&key);
                self.level.notes.saw_field(place);
                self.present = self.present.and(place);
                place
            }
            false => self.level.place.entries(&key),
        };
        let value = value.serialize(self.level.at(place));
        let refused = match (value, self.map.entry(key)) {
            (Ok(value), Entry::Vacant(entry)) => {
                entry.insert(value);
                return Ok(());
            }
            (Ok(_), Entry::Occupied(entry)) => Refused::new(Reason::KeyTwice).in_key(entry.key()),
            (Err(refused), entry) => refused.in_key(entry.key()),
        };
        Err(match self.variant {
            Some(variant) => refused.in_key(variant),
            None => refused,
        })
    }

    fn finish(mut self) -> Value {
        if self.is_typed {
            order::sort(&mut self.map);
        }
        in_variant(self.variant, Value::Object(self.map))
    }

    /// Ends a struct, whose fields are a part of its shape.
    fn finish_struct(mut self) -> Value {
        let Level { place, notes, .. } = self.level;
        notes.saw_fields(place, self.present);
        self.is_typed = true;
        self.finish()
    }
}

/// A struct under construction.
enum Fields<'a> {
    Plain(Entries<'a>),
    /// One of `serde_json`'s own, such as a `Number` with `arbitrary_precision`.
    Private(<serde_json::value::Serializer as Serializer>::SerializeStruct),
}

/// Whether a map's values are of this type because the map is an object of `serde_json`, which hands
/// over its values themselves. Other maps hand over references to theirs, whose type is another.
pub(super) fn is_json<T: ?Sized>() -> bool {
    type_name::<T>() == type_name::<Value>()
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
        impl $trait for Items<'_> {
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

impl SerializeMap for Entries<'_> {
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

impl SerializeStruct for Fields<'_> {
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
            Self::Plain(entries) => Ok(entries.finish_struct()),
            Self::Private(fields) => SerializeStruct::end(fields).map_err(Refused::custom),
        }
    }
}

impl SerializeStructVariant for Entries<'_> {
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
        Ok(self.finish_struct())
    }
}
