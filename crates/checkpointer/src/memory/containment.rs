//! Whether one JSON value contains another, as PostgreSQL's `jsonb @> jsonb` has it.

use serde_json::{Map, Number, Value};

use crate::ChannelValues;

/// Whether `whole` contains all keys of `part`, each with a value that contains the part's.
pub(super) fn contains_map(whole: &Map<String, Value>, part: &Map<String, Value>) -> bool {
    part.iter()
        .all(|(key, part)| whole.get(key).is_some_and(|whole| nested(whole, part)))
}

/// Whether the values of channels contain all of `part`, in the same sense.
pub(super) fn contains_values(whole: &ChannelValues, part: &Map<String, Value>) -> bool {
    part.iter()
        .all(|(channel, part)| whole.get(channel).is_some_and(|whole| nested(whole, part)))
}

/// Below the top a container contains only containers of its own kind.
fn nested(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => contains_map(whole, part),
        // Order and repetition don't count.
        (Value::Array(whole), Value::Array(part)) => part
            .iter()
            .all(|part| whole.iter().any(|whole| nested(whole, part))),
        (Value::Number(whole), Value::Number(part)) => same_number(whole, part),
        _ => whole == part,
    }
}

/// Whether two numbers have the same value, as `numeric` compares them.
fn same_number(left: &Number, right: &Number) -> bool {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left == right,
        _ => match (left.as_f64(), right.as_f64()) {
            // Stored as text, a negative zero isn't a zero.
            (Some(left), Some(right)) => left.to_bits() == right.to_bits(),
            _ => left == right,
        },
    }
}

/// The number as an integer; a float's digits are those it is written with, not those of its bits.
fn integer(number: &Number) -> Option<i128> {
    let int = number.as_i64().map(i128::from);
    let int = int.or_else(|| number.as_u64().map(i128::from));
    int.or_else(|| {
        let float = number
            .as_f64()
            .filter(|float| float.to_bits() != (-0.0_f64).to_bits());
        float?.to_string().parse().ok()
    })
}

#[cfg(test)]
mod tests;
