//! The bytes that a hash is made of, kept so that other values can be compared with them.

use serde_json::{Number, Value};

use super::number::{self, Kind};

/// What was hashed of a value.
#[derive(Debug)]
pub(crate) struct Canonical(Box<[u8]>);

impl Canonical {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a value is the same, to the bits of every float. An object whose keys are kept in
    /// another order doesn't count as the same: that costs no more than hashing it.
    pub(crate) fn is_of(&self, value: &Value) -> bool {
        let mut rest = Rest(&self.0[1..]);
        rest.begins_with(value) && rest.0.is_empty()
    }
}

/// What hasn't been compared yet, in the form that `hash.rs` describes.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// Goes no deeper than the value that was hashed.
    fn begins_with(&mut self, value: &Value) -> bool {
        match value {
            Value::Null => self.bytes(b"z"),
            Value::Bool(false) => self.bytes(b"f"),
            Value::Bool(true) => self.bytes(b"t"),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.bytes(b"s") && self.text(text),
            Value::Array(items) => {
                self.tagged(b'a', (items.len() as u64).to_le_bytes())
                    && items.iter().all(|item| self.begins_with(item))
            }
            Value::Object(object) => {
                self.tagged(b'o', (object.len() as u64).to_le_bytes())
                    && object
                        .iter()
                        .all(|(key, value)| self.text(key) && self.begins_with(value))
            }
        }
    }

    fn number(&mut self, number: &Number) -> bool {
        match number::kind(number) {
            Kind::Unsigned(unsigned) => self.tagged(b'u', unsigned.to_le_bytes()),
            Kind::Negative(negative) => self.tagged(b'i', negative.to_le_bytes()),
            Kind::Float(float) => self.tagged(b'd', float.to_bits().to_le_bytes()),
            Kind::Text(text) => self.bytes(b"n") && self.text(&text),
        }
    }

    fn text(&mut self, text: &str) -> bool {
        self.bytes(&(text.len() as u64).to_le_bytes()) && self.bytes(text.as_bytes())
    }

    fn tagged(&mut self, tag: u8, bytes: [u8; 8]) -> bool {
        self.bytes(&[tag]) && self.bytes(&bytes)
    }

    fn bytes(&mut self, bytes: &[u8]) -> bool {
        match self.0.split_at_checked(bytes.len()) {
            Some((first, rest)) if first == bytes => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }
}
