//! How many bytes a value takes at most, as text or as JSONB, told without writing it.
//!
//! It is what is hashed of the value, which is told in `hash.rs`, and for each part of it how much longer
//! that can become. An array of more items than JSONB takes, or an object of more members, is also too
//! long by this.

use serde_json::{Number, Value};

use super::number::{self, Kind};
use super::order;

/// How much longer a text, an array or an object can be, besides what it holds.
const HEAD: usize = 7;

/// How much longer null, a boolean or a number can be.
const WORD: usize = 16;

/// The same for a float that is very large or very small, because it is written without an exponent.
const LONG_FLOAT: usize = 400;

/// The same for a key.
const KEY: usize = 8;

/// What the order of an object's keys takes, and for each of them.
const ORDER: usize = 24;
const PLACE: usize = 8;

/// The most bytes of an object's order, where the order is an item of its own.
pub(crate) const MAX_ORDER_KEY: usize = ORDER;

/// How many bytes a value takes at most, within another.
pub(crate) fn max_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1 + word(),
        Value::Number(number) => max_number_bytes(number),
        Value::String(text) => 9 + text.len() + self::text(text),
        Value::Array(items) => 9 + HEAD + items.iter().map(max_bytes).sum::<usize>(),
        Value::Object(members) => {
            let own = 9 + object(members.len(), order::is_sorted(members));
            let members = members.iter();
            own + members
                .map(|(key, value)| max_key_bytes(key) + max_bytes(value))
                .sum::<usize>()
        }
    }
}

fn max_number_bytes(number: &Number) -> usize {
    let kind = number::kind(number);
    let hashed = match &kind {
        Kind::Text(text) => 9 + text.len(),
        _ => 9,
    };
    hashed + self::number(&kind)
}

/// How many bytes a key takes at most, with what is between it and its value.
pub(crate) fn max_key_bytes(key: &str) -> usize {
    8 + key.len() + self::key(key)
}

/// How much longer than what is hashed null and the booleans can be.
pub(super) fn word() -> usize {
    WORD
}

/// How much longer a number can be.
pub(super) fn number(number: &Kind) -> usize {
    match number {
        Kind::Float(float) if !is_short(float.abs()) => LONG_FLOAT,
        _ => WORD,
    }
}

fn is_short(float: f64) -> bool {
    float == 0.0 || (1e-5..1e16).contains(&float)
}

/// How much longer a text can be.
pub(super) fn text(text: &str) -> usize {
    HEAD + escapes(text)
}

/// How much longer a key can be.
pub(super) fn key(key: &str) -> usize {
    KEY + escapes(key)
}

/// How much longer an array can be, besides its items.
pub(super) fn array() -> usize {
    HEAD
}

/// How much longer an object can be, besides its members.
pub(super) fn object(len: usize, is_sorted: bool) -> usize {
    match is_sorted {
        true => HEAD,
        false => HEAD + ORDER + PLACE * len,
    }
}

/// How much longer a text becomes by its escapes: one byte by most, twelve more by a control character
/// that has no short form, because U+0000 and U+0001 take seven and bring a prefix of seven.
fn escapes(text: &str) -> usize {
    let mut escapes = 0;
    // So few that their sum is a byte, because the compiler then looks at many at once.
    for part in text.as_bytes().chunks(16) {
        let mut sum = 0;
        for byte in part {
            sum += escape(*byte);
        }
        escapes += usize::from(sum);
    }
    escapes
}

fn escape(byte: u8) -> u8 {
    let is_control = byte < 0x20;
    let is_escaped = is_control | (byte == b'"') | (byte == b'\\');
    let is_short = (byte == b'\n') | (byte == b'\r') | (byte == b'\t');
    u8::from(is_escaped) + 12 * u8::from(is_control & !is_short)
}
