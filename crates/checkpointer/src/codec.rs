//! How a value is written so that JSONB gives it back unchanged, and the hash
//! by which equal values are found.
//!
//! Almost everything is written as the JSON it is, so that SQL sees plain
//! values. What JSONB would refuse or change has another form:
//!
//! | value | stored as |
//! |---|---|
//! | a float that `serde_json` prints with an exponent | its digits without one, and a point: `1e16` as `10000000000000000.0` |
//! | a string or key that holds U+0000 or U+0001 | the string U+0001 `s` and the text, in which U+0001 `0` stands for U+0000 and U+0001 `1` for U+0001 |
//! | a key that begins with `$serde_json::private::` | the same; `serde_json` could take such an object for a number |
//! | `-0.0` | the string U+0001 `n-0.0` |
//! | the order of an object's keys, if they aren't sorted by their bytes | one more member, of the key U+0001 `o`: the places of the keys among the sorted ones, `"1 0"` for `{"b": …, "a": …}` |
//! | a number that exists only under `serde_json`'s `arbitrary_precision` and that JSONB or a program without that feature would change | the string U+0001 `n` and its text |
//!
//! A stored string holds U+0001 in these forms only; any other is an error when
//! it is read. Each value has one form, whatever features of `serde_json` the
//! program was built with, so programs built differently share a database.

mod canonical;
mod decode;
mod encode;
mod escape;
mod hash;
mod most_bytes;
mod number;
pub(crate) mod order;
mod refused;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use self::canonical::Canonical;
pub(crate) use self::decode::{DecodeError, Form, decode, parse};
#[cfg(test)]
pub(crate) use self::encode::most_jsonb_bytes;
pub(crate) use self::encode::{MAX_BYTES, MAX_DEPTH, ORDER_KEY, encode, encode_key, encode_object};
pub(crate) use self::escape::{ORDER, PRIVATE, key_of, stored_key};
pub(crate) use self::hash::{ContentHash, Measure, hash, measure_and_keep};
pub(crate) use self::most_bytes::{MAX_ORDER_KEY, max_bytes, max_key_bytes};
pub(crate) use self::refused::{Path, Reason, Refused};
