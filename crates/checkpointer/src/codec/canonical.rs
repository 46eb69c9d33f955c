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

    /// Whether a value is the same, to the bits of every float and the order of every object's keys.
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
            Value::Null => self.tag(b'z'),
            Value::Bool(false) => self.tag(b'f'),
            Value::Bool(true) => self.tag(b't'),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.tag(b's') && self.text(text),
            Value::Array(items) => {
                self.tag(b'a')
                    && self.word(items.len() as u64)
                    && items.iter().all(|item| self.begins_with(item))
            }
            Value::Object(object) => {
                // The keys themselves show their order.
                (self.tag(b'o') || self.tag(b'p'))
                    && self.word(object.len() as u64)
                    && object
                        .iter()
                        .all(|(key, value)| self.text(key) && self.begins_with(value))
            }
        }
    }

    fn number(&mut self, number: &Number) -> bool {
        match number::kind(number) {
            Kind::Unsigned(unsigned) => self.tag(b'u') && self.word(unsigned),
            Kind::Negative(negative) => self.tag(b'i') && self.word(negative.cast_unsigned()),
            Kind::Float(float) => self.tag(b'd') && self.word(float.to_bits()),
            Kind::Text(text) => self.tag(b'n') && self.text(&text),
        }
    }

    fn text(&mut self, text: &str) -> bool {
        self.word(text.len() as u64) && (text.is_empty() || self.bytes(text.as_bytes()))
    }

    /// Of one byte at least: `memcmp` reads nothing of an empty text, but where that points there
    /// is no memory, and the processor takes long over that.
    fn bytes(&mut self, bytes: &[u8]) -> bool {
        match self.0.split_at_checked(bytes.len()) {
            Some((first, rest)) if first == bytes => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn word(&mut self, word: u64) -> bool {
        match self.0.split_first_chunk() {
            Some((first, rest)) if u64::from_le_bytes(*first) == word => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn tag(&mut self, tag: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == tag => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }
}
