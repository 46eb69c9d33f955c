//! Values at random, and how they are compared.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use proptest::prelude::*;
use serde_json::{Map, Number, Value};

mod hashes;
mod jsonb;
mod key_order;
mod refusals;
mod round_trip;

pub(crate) use self::jsonb::through_jsonb;

/// Whether two values are the same to the bits of every float and the order of every object's keys.
/// Numbers print differently unless they are.
pub(crate) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.to_string() == right.to_string(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && (left.iter().zip(right)).all(|((left_key, left), (right_key, right))| {
                    left_key == right_key && same(left, right)
                })
        }
        _ => left == right,
    }
}

fn any_float() -> impl Strategy<Value = f64> {
    let from_bits = any::<u64>()
        .prop_map(f64::from_bits)
        .prop_filter("JSON has finite numbers only", |float| float.is_finite());
    let near_the_integers = (any::<i64>(), 0..70_i32)
        .prop_map(|(digits, shift)| digits as f64 * 2_f64.powi(shift - 35));
    let powers_of_ten =
        (-330..309_i32).prop_map(|exponent| format!("-1e{exponent}").parse().unwrap());
    prop_oneof![
        from_bits,
        near_the_integers,
        powers_of_ten,
        Just(0.0),
        Just(-0.0)
    ]
}

/// Numbers by their text, which matters under `arbitrary_precision`; without it
/// they are floats and integers like others.
fn any_number_text() -> impl Strategy<Value = String> {
    "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?"
}

fn any_number() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any_float().prop_map(|float| Number::from_f64(float).unwrap()),
        any_number_text().prop_map(|text| text.parse().unwrap()),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,8}",
        any::<String>(),
        "[\u{0}\u{1}01sn-]{0,8}",
        "[\\\\\"u01\u{0}-\u{20}\u{7f}\u{10000}-\u{10ffff}]{0,12}",
        Just("$serde_json::private::Number".to_owned()),
        Just("$serde_json::private::RawValue".to_owned()),
    ]
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any_number().prop_map(Value::Number),
        any_text().prop_map(Value::String),
    ];
    scalar.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((any_text(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect::<Map<_, _>>())),
        ]
    })
}
