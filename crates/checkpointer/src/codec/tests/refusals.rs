//! Values that are refused, and where.

use std::error::Error;

use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::codec::decode::DecodeError;
use crate::codec::refused::Path;
use crate::codec::{MAX_DEPTH, decode, encode, encode_key};

/// The texts of an error and of all its sources.
fn chain(error: &dyn Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut source = error.source();
    while let Some(error) = source {
        texts.push(error.to_string());
        source = error.source();
    }
    texts.join("\n")
}

#[track_caller]
fn check_refused(value: &Value, expected: Expect) {
    let mut out = b"before".to_vec();
    let refused = encode(value, &mut out).unwrap_err();
    assert_eq!(out, b"before");
    expected.assert_eq(&chain(&refused));
}

#[track_caller]
fn check_undecodable(stored: &str, expected: Expect) {
    let error: DecodeError = decode(stored.as_bytes()).unwrap_err();
    expected.assert_eq(&chain(&error));
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| Value::Array(vec![inner]))
}

#[test]
fn a_value_nested_too_deep_is_refused_before_the_stack_is() {
    encode(&nested(MAX_DEPTH), &mut Vec::new()).unwrap();
    let refused = encode(&nested(MAX_DEPTH + 1), &mut Vec::new()).unwrap_err();
    assert_eq!(refused.path.to_string(), "[0]".repeat(MAX_DEPTH));
    encode(&nested(5_000), &mut Vec::new()).unwrap_err();
    let refused = encode(&json!({ "a": { "b c": [0, nested(98)] } }), &mut Vec::new()).unwrap_err();
    assert!(refused.path.to_string().starts_with(r#"a["b c"][1][0][0]"#));
    expect!["arrays and objects nested deeper than 100"].assert_eq(&refused.reason.to_string());
}

#[test]
fn a_value_that_is_too_long_as_text_is_refused_where_it_is() {
    let too_long = "x".repeat(256 << 20);
    encode_key(&too_long, &mut Vec::new()).unwrap_err();
    check_refused(
        &json!({ "a": [1, Value::String(too_long)] }),
        expect!["a value of more than 268435456 bytes, as text or as JSONB at `a[1]`"],
    );
    // Six bytes of text for one of the string.
    check_refused(
        &Value::String("\u{2}".repeat(45 << 20)),
        expect!["a value of more than 268435456 bytes, as text or as JSONB at `$`"],
    );
}

#[test]
fn a_value_that_is_too_long_as_jsonb_is_refused_though_its_text_is_short() {
    // JSONB takes twelve bytes for each of these numbers, the text takes two.
    let rows: Vec<_> = (0..230)
        .map(|_| Value::Array(vec![json!(0); 100_000]))
        .collect();
    check_refused(
        &Value::Array(rows),
        expect!["a value of more than 268435456 bytes, as text or as JSONB at `[223][69470]`"],
    );
}

#[test]
fn an_array_or_object_of_too_many_members_is_refused() {
    let nulls = Value::Array(vec![Value::Null; (1 << 24) + 1]);
    check_refused(
        &json!({ "a": nulls }),
        expect!["an array or object of 16777217 members, where JSONB takes 16777216 at `a`"],
    );
}

#[test]
fn what_was_never_written_is_not_read() {
    check_undecodable(
        r#"{"a": [1, "\u0001"]}"#,
        expect!["a string that is not escaped as this crate does at `a[1]`"],
    );
    check_undecodable(
        r#"["a\u0001b"]"#,
        expect!["a string that is not escaped as this crate does at `[0]`"],
    );
    check_undecodable(
        r#"["\u0001sa\u00012"]"#,
        expect!["a string that is not escaped as this crate does at `[0]`"],
    );
    check_undecodable(
        r#"["\u0001sa\u0001"]"#,
        expect!["a string that is not escaped as this crate does at `[0]`"],
    );
    check_undecodable(
        r#"["\u0001splain"]"#,
        expect!["a string that is not escaped as this crate does at `[0]`"],
    );
    check_undecodable(
        r#"{"a": {"\u0001splain": 1}}"#,
        expect![[r#"a string that is not escaped as this crate does at `a["\u{1}splain"]`"#]],
    );
    check_undecodable(
        r#"{"\u0001n1": 1}"#,
        expect![[r#"a string that is not escaped as this crate does at `["\u{1}n1"]`"#]],
    );
    check_undecodable(
        r#"{"a": "\u0001nwhat"}"#,
        expect!["a number that this program can't hold exactly at `a`"],
    );
    for (members, order) in [
        (r#""a": 1, "b": 2"#, r#""0""#),
        (r#""a": 1, "b": 2"#, r#""0 0""#),
        (r#""a": 1, "b": 2"#, r#""0 1 2""#),
        (r#""a": 1, "b": 2"#, r#""2 1""#),
        (r#""a": 1, "b": 2"#, r#""1  0""#),
        (r#""a": 1, "b": 2"#, r#""a b""#),
        (r#""a": 1, "b": 2"#, r#"["b", "a"]"#),
        ("", r#""""#),
    ] {
        let comma = if members.is_empty() { "" } else { ", " };
        check_undecodable(
            &format!(r#"{{"a": [{{"\u0001o": {order}{comma}{members}}}]}}"#),
            expect!["an object whose keys can't have the stored order at `a[0]`"],
        );
    }
    check_undecodable(
        "[1",
        expect![[r#"
        failed to parse stored JSON
        EOF while parsing a list at line 1 column 2"#]],
    );
}

#[test]
fn an_escaped_backslash_is_no_escape() {
    assert_eq!(decode(br#"["\\u0001"]"#).unwrap(), json!(["\\u0001"]));
}

#[test]
fn a_path_shows_keys_that_are_not_words_in_quotes_and_cuts_long_ones() {
    let mut path = Path::default();
    expect!["$"].assert_eq(&path.to_string());
    path.push_key(&"é".repeat(100));
    path.push_index(7);
    path.push_key("with \"quotes\"");
    path.push_key("word-1_b");
    path.push_key("");
    expect![[r#"[""].word-1_b["with \"quotes\""][7]["éééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé"…]"#]].assert_eq(&path.to_string());
}
