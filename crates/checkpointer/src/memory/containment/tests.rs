//! Containment as PostgreSQL has it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::contains_map;

#[track_caller]
fn check(whole: Value, part: Value, expected: bool) {
    let contains = contains_map(whole.as_object().unwrap(), part.as_object().unwrap());
    assert_eq!(contains, expected, "{whole} @> {part}");
}

#[test]
fn an_object_contains_its_keys_at_any_depth() {
    let whole = json!({ "a": { "b": 1, "c": [1, 2] }, "d": null });
    check(whole.clone(), json!({}), true);
    check(whole.clone(), json!({ "a": {} }), true);
    check(whole.clone(), json!({ "a": { "b": 1 } }), true);
    check(whole.clone(), json!({ "a": { "b": 2 } }), false);
    check(whole.clone(), json!({ "d": null }), true);
    check(whole.clone(), json!({ "e": null }), false);
    check(whole, json!({ "a": null }), false);
}

#[test]
fn an_array_contains_its_items_in_any_order() {
    check(json!({ "a": [1, 2, 3] }), json!({ "a": [3, 1, 1] }), true);
    check(json!({ "a": [1, 2] }), json!({ "a": [4] }), false);
    check(json!({ "a": [1] }), json!({ "a": [] }), true);
    check(
        json!({ "a": [{ "b": 1, "c": 2 }] }),
        json!({ "a": [{ "b": 1 }] }),
        true,
    );
    check(json!({ "a": [[1, 2]] }), json!({ "a": [[1]] }), true);
    check(json!({ "a": [[1, 2]] }), json!({ "a": [1] }), false);
}

#[test]
fn a_nested_array_does_not_contain_a_bare_item() {
    check(json!({ "a": [1, 2] }), json!({ "a": 1 }), false);
    check(json!({ "a": [] }), json!({ "a": {} }), false);
}

#[test]
fn numbers_are_compared_by_value() {
    check(json!({ "n": 1 }), json!({ "n": 1.0 }), true);
    check(
        json!({ "n": 1e19 }),
        json!({ "n": 10_000_000_000_000_000_000_u64 }),
        true,
    );
    check(
        json!({ "n": 9_007_199_254_740_993_i64 }),
        json!({ "n": 9_007_199_254_740_992.0 }),
        false,
    );
    check(json!({ "n": 0.1 }), json!({ "n": 0.1 }), true);
    check(json!({ "n": 1e300 }), json!({ "n": 1e300 }), true);
    check(json!({ "n": -0.0 }), json!({ "n": 0 }), false);
    check(json!({ "n": 1 }), json!({ "n": true }), false);
    check(json!({ "n": 1 }), json!({ "n": "1" }), false);
}
