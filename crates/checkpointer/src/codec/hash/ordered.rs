//! The hash of a value in a program that doesn't keep the order of its objects' keys.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{ContentHash, Sink};
use crate::codec::decode::restore;
use crate::codec::escape::{self, Stored};
use crate::codec::order;

/// Computes the hash of the value that a stored one stands for. What can't have been stored has some
/// hash or other.
pub(in crate::codec) fn hash_ordered(stored: &Value) -> ContentHash {
    let mut sink = Sink::new();
    take(stored, &mut sink);
    sink.finish()
}

/// Goes no deeper than the parser did, which ends at 127.
fn take(stored: &Value, sink: &mut Sink) {
    match stored {
        Value::Array(items) => {
            sink.head(b'a', items.len());
            items.iter().for_each(|item| take(item, sink));
        }
        Value::Object(object) => {
            let (tag, members) = members(object);
            sink.head(tag, members.len());
            for (key, value) in members {
                sink.text(&key);
                take(value, sink);
            }
        }
        scalar => {
            let mut scalar = scalar.clone();
            // One that can't be restored is hashed as it is; to read it fails.
            let _ = restore(&mut scalar);
            sink.value(&scalar);
        }
    }
}

/// The members of a stored object in their order, and the tag that says whether they are sorted.
fn members(object: &Map<String, Value>) -> (u8, Vec<(Cow<'_, str>, &Value)>) {
    let members = object.iter().filter(|(key, _)| *key != escape::ORDER);
    let restored = members.map(|(key, value)| match escape::read(key) {
        Some(Stored::Text(key)) => (Cow::Owned(key), value),
        _ => (Cow::Borrowed(&**key), value),
    });
    let mut sorted: Vec<_> = restored.collect();
    sorted.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let places = object.get(escape::ORDER).and_then(Value::as_str);
    match places.and_then(|places| order::in_places(sorted.clone(), places)) {
        Some(ordered) => (b'p', ordered),
        None => (b'o', sorted),
    }
}
