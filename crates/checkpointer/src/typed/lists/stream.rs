//! The hash of what serde hears of some values.
//!
//! Two values with the same hash become the same JSON, with the same kinds at the same places: all that
//! the serializer of a state looks at is hashed.

use std::fmt;

use serde::Serialize;
use serde::ser::{
    self, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::codec::{MAX_DEPTH, PRIVATE};
use crate::typed::to_value::is_json;

/// How much is hashed at once: BLAKE3 is several times faster on long pieces of a power of two.
const BUFFER: usize = 16 * 1024;

/// Hashes values one after the other.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Of what was longer than the buffer.
    hasher: Option<Box<blake3::Hasher>>,
    buffer: Vec<u8>,
    /// How many bytes there were before those in the buffer.
    hashed: usize,
    depth: usize,
}

/// A value that can't be hashed.
#[derive(Debug)]
pub(super) struct Unhashed;

impl fmt::Display for Unhashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value can't be hashed")
    }
}

impl std::error::Error for Unhashed {}

impl ser::Error for Unhashed {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self
    }
}

impl Stream {
    /// The hash of all values so far.
    pub(super) fn hash(&self) -> [u8; 32] {
        match &self.hasher {
            None => blake3::hash(&self.buffer).into(),
            Some(hasher) => hasher.clone().update(&self.buffer).finalize().into(),
        }
    }

    /// How many bytes were hashed.
    pub(super) fn len(&self) -> usize {
        self.hashed + self.buffer.len()
    }

    fn bytes(&mut self, mut bytes: &[u8]) {
        while self.buffer.len() + bytes.len() > BUFFER {
            let (fitting, rest) = bytes.split_at(BUFFER - self.buffer.len());
            self.buffer.extend_from_slice(fitting);
            let hasher = self.hasher.get_or_insert_default();
            hasher.update(&self.buffer);
            self.hashed += self.buffer.len();
            self.buffer.clear();
            bytes = rest;
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn tag(&mut self, tag: u8) {
        self.bytes(&[tag]);
    }

    fn word(&mut self, tag: u8, [a, b, c, d, e, f, g, h]: [u8; 8]) {
        self.bytes(&[tag, a, b, c, d, e, f, g, h]);
    }

    fn text(&mut self, tag: u8, text: &[u8]) {
        self.word(tag, (text.len() as u64).to_le_bytes());
        self.bytes(text);
    }

    fn open(&mut self, tag: u8) -> Result<&mut Self, Unhashed> {
        self.tag(tag);
        self.inside()
    }

    fn open_variant(&mut self, tag: u8, variant: &str) -> Result<&mut Self, Unhashed> {
        self.text(tag, variant.as_bytes());
        self.inside()
    }

    /// What lies too deep would exhaust the stack.
    fn inside(&mut self) -> Result<&mut Self, Unhashed> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(Unhashed),
            false => Ok(self),
        }
    }

    fn close(&mut self) {
        self.depth -= 1;
        self.tag(b'.');
    }

    fn field<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Unhashed> {
        self.text(b':', key.as_bytes());
        value.serialize(self)
    }
}

/// The methods for numbers, each as wide as the widest of its kind.
macro_rules! numbers {
    ($($tag:literal $wide:ty: $($method:ident($type:ty)),*;)*) => {$($(
        fn $method(self, value: $type) -> Result<(), Unhashed> {
            self.word($tag, <$wide>::from(value).to_le_bytes());
            Ok(())
        }
    )*)*};
}

impl Serializer for &mut Stream {
    type Ok = ();
    type Error = Unhashed;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers! {
        b'b' u64: serialize_bool(bool);
        b'i' i64: serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64);
        b'u' u64: serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64);
    }

    fn serialize_i128(self, value: i128) -> Result<(), Unhashed> {
        self.tag(b'I');
        self.bytes(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Unhashed> {
        self.tag(b'U');
        self.bytes(&value.to_le_bytes());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Unhashed> {
        self.word(b'f', u64::from(value.to_bits()).to_le_bytes());
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Unhashed> {
        self.word(b'd', value.to_bits().to_le_bytes());
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Unhashed> {
        self.word(b'c', u64::from(u32::from(value)).to_le_bytes());
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Unhashed> {
        self.text(b's', value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Unhashed> {
        self.text(b'y', value);
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Unhashed> {
        self.tag(b'z');
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Unhashed> {
        self.serialize_unit()
    }

    fn serialize_none(self) -> Result<(), Unhashed> {
        self.tag(b'n');
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Unhashed> {
        self.tag(b'o');
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Unhashed> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Unhashed> {
        self.text(b'v', variant.as_bytes());
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Unhashed> {
        value.serialize(self.open_variant(b'w', variant)?)?;
        self.close();
        Ok(())
    }

    fn serialize_seq(self, _len: Option<usize>) -> Result<Self, Unhashed> {
        self.open(b'[')
    }

    fn serialize_tuple(self, _len: usize) -> Result<Self, Unhashed> {
        self.open(b'(')
    }

    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Self, Unhashed> {
        self.open(b'(')
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self, Unhashed> {
        self.open_variant(b'<', variant)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self, Unhashed> {
        // A struct with a flattened field doesn't say how many entries it has.
        self.open(match len {
            Some(_) => b'{',
            None => b'?',
        })
    }

    fn serialize_struct(self, name: &'static str, _len: usize) -> Result<Self, Unhashed> {
        match name.starts_with(PRIVATE) {
            true => self.open_variant(b'$', name),
            false => self.open(b'*'),
        }
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Self, Unhashed> {
        self.open_variant(b'@', variant)
    }
}

/// The traits by which serde hands over the members of an array.
macro_rules! items {
    ($($trait:ident::$method:ident),* $(,)?) => {$(
        impl $trait for &mut Stream {
            type Ok = ();
            type Error = Unhashed;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unhashed> {
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), Unhashed> {
                self.close();
                Ok(())
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

/// The traits by which serde hands over the fields of a struct.
macro_rules! fields {
    ($($trait:ident),* $(,)?) => {$(
        impl $trait for &mut Stream {
            type Ok = ();
            type Error = Unhashed;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Unhashed> {
                self.field(key, value)
            }

            fn end(self) -> Result<(), Unhashed> {
                self.close();
                Ok(())
            }
        }
    )*};
}

fields! { SerializeStruct, SerializeStructVariant }

impl SerializeMap for &mut Stream {
    type Ok = ();
    type Error = Unhashed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Unhashed> {
        key.serialize(&mut **self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Unhashed> {
        // Whether the keys are sorted depends on it.
        self.tag(match is_json::<T>() {
            true => b'j',
            false => b'=',
        });
        value.serialize(&mut **self)
    }

    fn end(self) -> Result<(), Unhashed> {
        self.close();
        Ok(())
    }
}
