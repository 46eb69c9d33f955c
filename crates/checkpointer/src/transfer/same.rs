//! What a value has in common with the one before it.

use serde_json::{Map, Number, Value};

/// How a value follows from the one that its channel had in the line before.
#[derive(Debug, PartialEq)]
pub(super) enum Change<'v> {
    /// Not at all.
    Other(&'v Value),
    /// It is an array that goes on where that one ended.
    Appended(&'v [Value]),
    /// It is the same.
    Same,
}

impl<'v> Change<'v> {
    pub(super) fn of(before: Option<&Value>, value: &'v Value) -> Self {
        match (before, value) {
            (Some(before), value) if same(before, value) => Self::Same,
            (Some(Value::Array(before)), Value::Array(items)) if begins(items, before) => {
                Self::Appended(&items[before.len()..])
            }
            _ => Self::Other(value),
        }
    }
}

fn begins(items: &[Value], with: &[Value]) -> bool {
    !with.is_empty() && items.len() >= with.len() && same_items(with, items)
}

/// Whether two values are equal to the bits of each float and in the order of keys.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => same_number(left, right),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && same_items(left, right)
        }
        (Value::Object(left), Value::Object(right)) => same_members(left, right),
        _ => left == right,
    }
}

/// Whether the items are the same as far as both have any.
fn same_items(left: &[Value], right: &[Value]) -> bool {
    left.iter()
        .zip(right)
        .all(|(left, right)| same(left, right))
}

fn same_members(left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| left.0 == right.0 && same(left.1, right.1))
}

/// `==` takes `0.0` for `-0.0`; their texts differ.
fn same_number(left: &Number, right: &Number) -> bool {
    left == right && (left.as_f64() != Some(0.0) || left.to_string() == right.to_string())
}
