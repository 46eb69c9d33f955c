//! What was measured of the values put last, so that only what has changed is hashed again.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serde_json::{Map, Value};

use crate::codec::{self, MAX_DEPTH, Measure};
use crate::{CheckpointNs, ThreadId};

/// About what a part of a value takes besides its own memory, and what a channel does.
const PART_BYTES: usize = 96;

/// A value that was cut, down to the parts that are hashed in one piece.
#[derive(Debug, Default)]
pub(super) enum Known {
    #[default]
    Nothing,
    Whole(Value, Measure),
    Items(Vec<Known>),
    Members(BTreeMap<String, Known>),
}

impl Known {
    /// Measures a value, unless it is the one that is known; knows it afterwards.
    pub(super) fn measure(&mut self, value: &Value) -> Measure {
        match self {
            Self::Whole(known, measure) if is_same(known, value) => *measure,
            _ => {
                let measure = codec::measure(value);
                // A deeper one is refused, and might take more stack than there is.
                *self = if measure.depth <= MAX_DEPTH {
                    Self::Whole(value.clone(), measure)
                } else {
                    Self::Nothing
                };
                measure
            }
        }
    }

    /// What is known of an array's items: those at the front and those at the back that are the same
    /// as before, also where the front was cut off; those between them by their place.
    pub(super) fn items(&mut self, items: &[Value]) -> Option<&mut Vec<Self>> {
        let mut known = match std::mem::take(self) {
            Self::Items(known) => known,
            _ => Vec::new(),
        };
        if let Some(first) = items.first()
            && let Some(place) = known.iter().position(|known| known.is(first))
        {
            known.drain(..place);
        }
        let pairs = known.iter().zip(items);
        let front = pairs.take_while(|(known, item)| known.is(item)).count();
        let pairs = known[front..].iter().rev().zip(items[front..].iter().rev());
        let back = pairs.take_while(|(known, item)| known.is(item)).count();
        let middle_end = known.len() - back;
        let new_middle_end = items.len() - back;
        if new_middle_end <= middle_end {
            known.drain(new_middle_end..middle_end);
        } else {
            let new = std::iter::repeat_with(Self::default).take(new_middle_end - middle_end);
            known.splice(middle_end..middle_end, new);
        }
        *self = Self::Items(known);
        let Self::Items(known) = self else {
            return None;
        };
        Some(known)
    }

    /// What is known of an object's members; those that left are forgotten.
    pub(super) fn members(
        &mut self,
        members: &Map<String, Value>,
    ) -> Option<&mut BTreeMap<String, Self>> {
        if !matches!(self, Self::Members(_)) {
            *self = Self::Members(BTreeMap::new());
        }
        let Self::Members(known) = self else {
            return None;
        };
        known.retain(|key, _| members.contains_key(key));
        for key in members.keys() {
            if !known.contains_key(key) {
                known.insert(key.clone(), Self::Nothing);
            }
        }
        Some(known)
    }

    fn is(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Whole(known, _), value) => is_same(known, value),
            (Self::Items(known), Value::Array(items)) => {
                known.len() == items.len()
                    && known.iter().zip(items).all(|(known, item)| known.is(item))
            }
            (Self::Members(known), Value::Object(members)) => {
                known.len() == members.len()
                    && members
                        .iter()
                        .all(|(key, value)| known.get(key).is_some_and(|known| known.is(value)))
            }
            _ => false,
        }
    }

    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        PART_BYTES
            + match self {
                Self::Nothing => 0,
                Self::Whole(value, _) => bytes_of(value),
                Self::Items(known) => known.iter().map(Self::bytes).sum(),
                Self::Members(known) => known
                    .iter()
                    .map(|(key, known)| PART_BYTES + key.len() + known.bytes())
                    .sum(),
            }
    }
}

/// Whether two values are the same to the bits of every float. Objects whose keys are kept in
/// another order don't count as the same: that costs no more than hashing them.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => {
            let bits = |number: &serde_json::Number| number.as_f64().map(f64::to_bits);
            one == other && bits(one) == bits(other)
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|((key, one), (other_key, other))| key == other_key && is_same(one, other))
        }
        _ => one == other,
    }
}

/// About how much memory a value takes on the heap.
fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(items) => items
            .iter()
            .map(|item| size_of::<Value>() + bytes_of(item))
            .sum(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| PART_BYTES + key.len() + bytes_of(value))
            .sum(),
    }
}

/// The name of a channel, in all threads.
type Channel = (ThreadId, CheckpointNs, String);

/// Remembers the values of the channels put last.
///
/// It only saves work: what is remembered is compared with what is put.
#[derive(Debug)]
pub(super) struct Memo {
    channels: Mutex<Channels>,
    max_bytes: usize,
}

#[derive(Debug)]
struct Channels {
    /// With the memory each takes.
    by_name: LruCache<Channel, (Known, usize)>,
    bytes: usize,
}

impl Memo {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            channels: Mutex::new(Channels {
                by_name: LruCache::unbounded(),
                bytes: 0,
            }),
            max_bytes,
        }
    }

    /// Calls `use_it` with what is known of a channel, and remembers what is known then. Meanwhile
    /// nobody else knows anything of it.
    pub(super) fn with<T>(
        &self,
        thread_id: &ThreadId,
        checkpoint_ns: &CheckpointNs,
        channel: &str,
        use_it: impl FnOnce(&mut Known) -> T,
    ) -> T {
        let name = (thread_id.clone(), checkpoint_ns.clone(), channel.to_owned());
        let mut known = Known::Nothing;
        {
            let mut channels = self.lock();
            if let Some((remembered, bytes)) = channels.by_name.pop(&name) {
                channels.bytes -= bytes;
                known = remembered;
            }
        }
        let answer = use_it(&mut known);
        let bytes = known.bytes();
        if matches!(known, Known::Nothing) || bytes > self.max_bytes {
            return answer;
        }
        let mut channels = self.lock();
        channels.bytes += bytes;
        if let Some((_, replaced)) = channels.by_name.put(name, (known, bytes)) {
            channels.bytes -= replaced;
        }
        while channels.bytes > self.max_bytes {
            let Some((_, (_, bytes))) = channels.by_name.pop_lru() else {
                break;
            };
            channels.bytes -= bytes;
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Channels> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
