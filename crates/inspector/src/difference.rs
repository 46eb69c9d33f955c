//! What differs between two states.

mod items;
mod text;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use checkpointer::ChannelValues;
use checkpointer::serde_json::{Map, Value};

pub use text::TextPart;

/// How long it is looked for a short difference. After that a correct one has to do, which may call
/// more changed than has to be.
const PATIENCE: Duration = Duration::from_secs(2);

/// What differs between two states, channel by channel.
///
/// # Examples
///
/// ```
/// use checkpointer::ChannelValues;
/// use checkpointer::serde_json::json;
/// use inspector::{Change, Difference};
///
/// let before = ChannelValues::from([("messages".to_owned(), json!(["Where is my order?"]))]);
/// let after = json!(["Where is my order?", "On its way."]);
/// let after = ChannelValues::from([("messages".to_owned(), after)]);
///
/// let difference = Difference::between(&before, &after);
/// let Change::Items(items) = &difference.channels[0].change else { panic!() };
/// assert_eq!((items[0].before, items[0].after), (None, Some(1)));
/// assert_eq!(items[0].change, Change::Added(&json!("On its way.")));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Difference<'a> {
    /// The channels that differ, by name.
    pub channels: Vec<ChannelChange<'a>>,
}

/// A channel that differs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ChannelChange<'a> {
    /// The channel.
    pub channel: &'a str,
    /// How it differs.
    pub change: Change<'a>,
}

/// How a value differs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Change<'a> {
    /// There was none.
    Added(&'a Value),
    /// There is none any more.
    Removed(&'a Value),
    /// There is another, which has too little in common with the one before.
    Replaced {
        /// The one before.
        before: &'a Value,
        /// The one after.
        after: &'a Value,
    },
    /// It is a text, of which some words have changed: the whole text, part by part.
    Text(Vec<TextPart<'a>>),
    /// It is an array, of which these items have changed.
    Items(Vec<ItemChange<'a>>),
    /// It is an object, of which these members have changed.
    Members(Vec<MemberChange<'a>>),
}

/// An item of an array that differs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ItemChange<'a> {
    /// Its place in the array before, from 0; none if it was added.
    pub before: Option<usize>,
    /// Its place in the array after, from 0; none if it was removed.
    pub after: Option<usize>,
    /// How it differs.
    pub change: Change<'a>,
}

/// A member of an object that differs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct MemberChange<'a> {
    /// Its name.
    pub key: &'a str,
    /// How it differs.
    pub change: Change<'a>,
}

impl<'a> Difference<'a> {
    /// Compares two states.
    #[must_use]
    pub fn between(before: &'a ChannelValues, after: &'a ChannelValues) -> Self {
        let deadline = Instant::now() + PATIENCE;
        let names: BTreeSet<&'a String> = before.keys().chain(after.keys()).collect();
        let channels = names.into_iter().filter_map(|channel| {
            let change = optional(before.get(channel), after.get(channel), deadline)?;
            Some(ChannelChange { channel, change })
        });
        Self {
            channels: channels.collect(),
        }
    }

    /// Whether the states are equal.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }
}

fn optional<'a>(
    before: Option<&'a Value>,
    after: Option<&'a Value>,
    deadline: Instant,
) -> Option<Change<'a>> {
    match (before, after) {
        (Some(before), Some(after)) if before == after => None,
        (Some(before), Some(after)) => Some(values(before, after, deadline)),
        (Some(before), None) => Some(Change::Removed(before)),
        (None, after) => after.map(Change::Added),
    }
}

/// Compares two values that differ.
fn values<'a>(before: &'a Value, after: &'a Value, deadline: Instant) -> Change<'a> {
    let inside = match (before, after) {
        (Value::String(before), Value::String(after)) => {
            text::compare(before, after, deadline).map(Change::Text)
        }
        (Value::Array(before), Value::Array(after)) if !before.is_empty() && !after.is_empty() => {
            Some(Change::Items(items::compare(before, after, deadline)))
        }
        (Value::Object(before), Value::Object(after)) => {
            members(before, after, deadline).map(Change::Members)
        }
        _ => None,
    };
    inside.unwrap_or(Change::Replaced { before, after })
}

/// Compares two objects; none if they have no name in common.
fn members<'a>(
    before: &'a Map<String, Value>,
    after: &'a Map<String, Value>,
    deadline: Instant,
) -> Option<Vec<MemberChange<'a>>> {
    if !before.keys().any(|key| after.contains_key(key)) {
        return None;
    }
    let keys: BTreeSet<&'a String> = before.keys().chain(after.keys()).collect();
    let members = keys.into_iter().filter_map(|key| {
        let change = optional(before.get(key), after.get(key), deadline)?;
        Some(MemberChange { key, change })
    });
    Some(members.collect())
}

#[cfg(test)]
mod tests;
