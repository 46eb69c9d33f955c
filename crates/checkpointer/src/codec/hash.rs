//! The hash by which equal values are found, format 1.
//!
//! It is stored for ever, so it is a function of the value alone: not of the text
//! of numbers, or of `serde_json`'s features. It is the first 16 bytes of BLAKE3
//! over the byte 1, the format, and then the value:
//!
//! | value | bytes |
//! |---|---|
//! | null, false, true | `z`, `f`, `t` |
//! | an integer from 0 to 2⁶⁴−1 | `u`, 8 bytes |
//! | an integer from −2⁶³ to −1 | `i`, 8 bytes, two's complement |
//! | a float | `d`, the 8 bytes of its bits |
//! | any other number of `arbitrary_precision` | `n`, its text |
//! | a string | `s`, the text |
//! | an array | `a`, the number of items, the items |
//! | an object whose keys are in the order of their bytes | `o`, the number of keys, for each the key as a text, the value |
//! | an object whose keys are in another order | `p`, the same in that order |
//!
//! A text is its length in bytes and its UTF-8; lengths and numbers are 8 bytes;
//! everything is little-endian. No two values have the same bytes.

use std::fmt;
use std::slice;
use std::str::FromStr;

use serde_json::{Number, Value, map};

use super::Canonical;
use super::most_bytes;
use super::number::{self, Kind};
use super::order;

mod ordered;

pub(super) use self::ordered::hash_ordered;

const FORMAT: u8 = 1;

/// What a value is found by: equal values, and only they, have the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ContentHash([u8; 16]);

/// A text that isn't a [`ContentHash`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a content hash is 32 hexadecimal digits in lower case")]
pub(crate) struct ParseContentHashError;

/// What hashing a value has shown of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) hash: ContentHash,
    /// How many arrays and objects lie inside each other.
    pub(crate) depth: usize,
    /// About how many bytes the value takes.
    pub(crate) bytes: usize,
    /// How many bytes the value takes within another, as text or as JSONB, at most.
    pub(crate) max_bytes: usize,
}

/// Computes the hash of `value`. An integer and a float never have the same, nor
/// do `0.0` and `-0.0`.
pub(crate) fn hash(value: &Value) -> ContentHash {
    Sink::of(value).0.finish()
}

/// Hashes `value`, measures it, and keeps what was hashed, unless that is so long that to hash it
/// takes hardly longer than to compare it.
pub(crate) fn measure_and_keep(value: &Value) -> (Measure, Option<Canonical>) {
    let (mut sink, depth) = Sink::of(value);
    let measure = Measure {
        hash: sink.finish(),
        depth,
        bytes: sink.length - FLOAT_DISCOUNT * sink.floats,
        max_bytes: sink.length + sink.growth,
    };
    let is_whole = sink.hasher.is_none();
    let canonical = is_whole.then(|| Canonical::new(sink.buffer));
    (measure, canonical)
}

/// What a float counts less: the server compresses them, if they are many.
const FLOAT_DISCOUNT: usize = 5;

impl ContentHash {
    /// Hashes bytes of any kind.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self::first_half(&blake3::hash(bytes))
    }

    fn first_half(hash: &blake3::Hash) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&hash.as_bytes()[..16]);
        Self(first)
    }

    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl FromStr for ContentHash {
    type Err = ParseContentHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_digits = text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if text.len() != 32 || !is_digits {
            return Err(ParseContentHashError);
        }
        match u128::from_str_radix(text, 16) {
            Ok(bits) => Ok(Self(bits.to_be_bytes())),
            Err(_) => Err(ParseContentHashError),
        }
    }
}

/// The members of an array or object that are still to be hashed.
enum Children<'a> {
    Items(slice::Iter<'a, Value>),
    Members(map::Iter<'a>),
}

impl<'a> Children<'a> {
    fn next(&mut self, sink: &mut Sink) -> Option<&'a Value> {
        match self {
            Self::Items(items) => items.next(),
            Self::Members(members) => {
                let (key, value) = members.next()?;
                sink.growth += most_bytes::key(key);
                sink.text(key);
                Some(value)
            }
        }
    }
}

/// Collects small pieces: BLAKE3 is several times faster on long ones.
struct Sink {
    /// Of what was longer than the buffer.
    hasher: Option<Box<blake3::Hasher>>,
    buffer: Vec<u8>,
    /// How many bytes there were.
    length: usize,
    /// How many floats there were.
    floats: usize,
    /// How much longer that can be where it is written.
    growth: usize,
}

const BUFFER: usize = 16 * 1024;

/// What the buffer has room for at first: most parts of a value are shorter.
const FIRST_BUFFER: usize = 1024;

impl Sink {
    fn new() -> Self {
        let mut buffer = Vec::with_capacity(FIRST_BUFFER);
        buffer.push(FORMAT);
        Self {
            hasher: None,
            length: buffer.len(),
            buffer,
            floats: 0,
            growth: 0,
        }
    }

    /// Takes all of a value; says how many arrays and objects lie inside each other.
    fn of(value: &Value) -> (Self, usize) {
        let mut sink = Self::new();
        // A stack of its own: the value's depth has perhaps not been checked yet.
        let mut open = Vec::new();
        let mut depth = 0;
        open.extend(sink.value(value));
        while let Some(children) = open.last_mut() {
            match children.next(&mut sink) {
                Some(child) => open.extend(sink.value(child)),
                None => {
                    depth = depth.max(open.len());
                    open.pop();
                }
            }
        }
        (sink, depth)
    }

    /// Hashes all of a scalar, or the head of an array or object.
    fn value<'a>(&mut self, value: &'a Value) -> Option<Children<'a>> {
        match value {
            Value::Null => self.word(b"z"),
            Value::Bool(false) => self.word(b"f"),
            Value::Bool(true) => self.word(b"t"),
            Value::Number(number) => self.number(number),
            Value::String(text) => {
                self.growth += most_bytes::text(text);
                self.bytes(b"s");
                self.text(text);
            }
            Value::Array(items) => {
                self.growth += most_bytes::array();
                self.head(b'a', items.len());
                return Some(Children::Items(items.iter()));
            }
            Value::Object(object) => {
                let is_sorted = order::is_sorted(object);
                self.growth += most_bytes::object(object.len(), is_sorted);
                self.head(if is_sorted { b'o' } else { b'p' }, object.len());
                return Some(Children::Members(object.iter()));
            }
        }
        None
    }

    fn word(&mut self, tag: &[u8]) {
        self.growth += most_bytes::word();
        self.bytes(tag);
    }

    fn number(&mut self, number: &Number) {
        let kind = number::kind(number);
        self.growth += most_bytes::number(&kind);
        match kind {
            Kind::Unsigned(unsigned) => self.tagged(b'u', unsigned.to_le_bytes()),
            Kind::Negative(negative) => self.tagged(b'i', negative.to_le_bytes()),
            Kind::Float(float) => {
                self.floats += 1;
                self.tagged(b'd', float.to_bits().to_le_bytes());
            }
            Kind::Text(text) => {
                self.bytes(b"n");
                self.text(&text);
            }
        }
    }

    /// Hashes the head of an array or object.
    fn head(&mut self, tag: u8, len: usize) {
        self.tagged(tag, (len as u64).to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    fn tagged(&mut self, tag: u8, [a, b, c, d, e, f, g, h]: [u8; 8]) {
        self.bytes(&[tag, a, b, c, d, e, f, g, h]);
    }

    fn bytes(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len();
        // Only whole buffers: BLAKE3 takes whole blocks of a power of two at once.
        while self.buffer.len() + bytes.len() > BUFFER {
            let (fitting, rest) = bytes.split_at(BUFFER - self.buffer.len());
            self.buffer.extend_from_slice(fitting);
            let hasher = self.hasher.get_or_insert_default();
            hasher.update(&self.buffer);
            self.buffer.clear();
            bytes = rest;
        }
        self.buffer.extend_from_slice(bytes);
    }

    fn finish(&mut self) -> ContentHash {
        match &mut self.hasher {
            None => ContentHash::of(&self.buffer),
            Some(hasher) => ContentHash::first_half(&hasher.update(&self.buffer).finalize()),
        }
    }
}
