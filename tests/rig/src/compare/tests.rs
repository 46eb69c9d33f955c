//! What differs is found and named.

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::{Rule, difference};

#[track_caller]
fn differ(expected: Value, got: Value, rule: Rule, shown: Expect) {
    let difference = difference(&expected, &got, rule);
    let text = difference.map_or_else(|| "none".to_owned(), |difference| difference.to_string());
    shown.assert_eq(&text);
}

#[track_caller]
fn agree(expected: Value, got: Value, rule: Rule) {
    assert_eq!(difference(&expected, &got, rule), None);
}

#[test]
fn the_place_is_named() {
    differ(
        json!({ "a": [1, { "b c": 2, "d": 3 }] }),
        json!({ "a": [1, { "b c": 4, "d": 5 }] }),
        Rule::Strict,
        expect![[r#"
            at       a[1]["b c"]
            expected 2
            got      4"#]],
    );
    differ(
        json!(null),
        json!({}),
        Rule::Recorded,
        expect![[r#"
            at       the answer itself
            expected null
            got      {}"#]],
    );
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    differ(
        json!({ "a": [1, 2] }),
        json!({ "a": [1] }),
        Rule::Recorded,
        expect![[r#"
            at       a[1]
            expected 2
            got      nothing"#]],
    );
    differ(
        json!({ "a": 1 }),
        json!({ "a": 1, "b": null }),
        Rule::Recorded,
        expect![[r#"
            at       b
            expected nothing
            got      null"#]],
    );
}

#[test]
fn a_long_value_is_cut() {
    let difference = difference(&json!("ä".repeat(500)), &json!(1), Rule::Strict);
    let text = difference.map(|difference| difference.to_string());
    let text = text.unwrap_or_default();
    assert!(text.contains("ä… (1002 bytes)"), "{text}");
}

#[test]
fn recorded_numbers_are_equal_by_value() {
    agree(json!([1, 1e21]), json!([1.0, 1e21]), Rule::Recorded);
    agree(
        json!(10_000_000_000_000_000_000_u64),
        json!(1e19),
        Rule::Recorded,
    );
    agree(json!(0), json!(-0.0), Rule::Recorded);
    for (expected, got) in [
        (
            json!(9_007_199_254_740_993_i64),
            json!(9_007_199_254_740_992.0),
        ),
        (json!(0.1), json!(0.2)),
        (json!(1), json!("1")),
        (json!(1), json!(true)),
    ] {
        let found = difference(&expected, &got, Rule::Recorded);
        assert!(found.is_some(), "{expected} is taken for {got}");
    }
}

#[test]
fn strictly_numbers_are_equal_by_bits() {
    agree(
        json!([1, 1.0, u64::MAX, 1e300]),
        json!([1, 1.0, u64::MAX, 1e300]),
        Rule::Strict,
    );
    for (expected, got) in [
        (json!(1), json!(1.0)),
        (json!(0.0), json!(-0.0)),
        (json!(1e21), json!(1e22)),
    ] {
        let found = difference(&expected, &got, Rule::Strict);
        assert!(found.is_some(), "{expected} is taken for {got}");
    }
}

#[test]
fn a_recorded_exception_is_the_text_of_what_was_put() {
    let error =
        json!({ "$error": "KeyError", "args": ["it's", 1, null, [true], { "k": "a\"'\n" }] });
    let text = r#"KeyError("it's", 1, None, [True], {'k': 'a"\'\n'})"#;
    agree(json!(text), error.clone(), Rule::Recorded);
    agree(
        json!("RuntimeError('tool timed out')"),
        json!({ "$error": "RuntimeError", "args": ["tool timed out"] }),
        Rule::Recorded,
    );
    for (expected, rule) in [("KeyError()", Rule::Recorded), (text, Rule::Strict)] {
        assert!(difference(&json!(expected), &error, rule).is_some());
    }
}
