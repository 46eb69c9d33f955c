//! Equal values have equal hashes, and others don't.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{any_value, same, through_jsonb};
use crate::codec::hash::{ParseContentHashError, hash_ordered};
use crate::codec::number::ARBITRARY_PRECISION;
use crate::codec::{ContentHash, encode, hash, max_bytes, measure_and_keep, parse};

#[track_caller]
fn check(value: Value, expected: Expect) {
    expected.assert_eq(&hash(&value).to_string());
}

/// These are stored for ever. A change here is a new format.
#[test]
fn the_hashes_of_format_1_are_these() {
    check(json!(null), expect!["03e7a6a7a0967d93528e57f3e2d75da5"]);
    check(json!(false), expect!["bb9b2b77df4fabc143ca1e5454ca000f"]);
    check(json!(true), expect!["2bc59fdd14679c65bd6b298b8ccdae84"]);
    check(json!(0), expect!["8f7ab5cc4be36d631158875aafa65cd3"]);
    check(json!(u64::MAX), expect!["02c313832db7d8ec03b2b40641bfb916"]);
    check(json!(-1), expect!["fd3bad5817be596dc382f19ace966a72"]);
    check(json!(i64::MIN), expect!["a1fa473a33855fa2befe45884c5bb987"]);
    check(json!(0.0), expect!["36a76b4869d9e4595abf097b54afa475"]);
    check(json!(-0.0), expect!["03724e7937a0bdf236cc2883a14f5823"]);
    check(json!(1.0), expect!["e02757f625b72bded4ff91ba3458cbd8"]);
    check(json!(1e300), expect!["d55b22632d0707cba22cd05df62614f2"]);
    check(json!(""), expect!["4809fdb8c06b012b22eacea1b00f6ebf"]);
    check(json!("grün\0"), expect!["50f5b70e3f02d9373b643e08cb5a7ed2"]);
    check(json!([]), expect!["998e4c287cfdd5beebd972de4f5e1f21"]);
    check(json!({}), expect!["2de6ca68873def2476d76525d0b27e96"]);
    check(
        json!([1, [2.5, "three"], null]),
        expect!["d19d009c8c62c0e00cb4cd08be2d5880"],
    );
    check(
        json!({ "a": { "": [] }, "aa": -5, "b": 1, "é": true }),
        expect!["51954052c252d8102f7217b9ceb5238c"],
    );
}

#[test]
fn the_format_is_as_documented() {
    let mut bytes = vec![1];
    bytes.extend(b"o\x02\0\0\0\0\0\0\0");
    bytes.extend(b"\x01\0\0\0\0\0\0\0a");
    bytes.extend(b"a\x03\0\0\0\0\0\0\0z");
    bytes.extend(b"u\x07\0\0\0\0\0\0\0");
    bytes.extend(b"i\xfe\xff\xff\xff\xff\xff\xff\xff");
    bytes.extend(b"\x01\0\0\0\0\0\0\0b");
    bytes.push(b'd');
    bytes.extend(0.5_f64.to_bits().to_le_bytes());
    let value = json!({ "a": [null, 7, -2], "b": 0.5 });
    assert_eq!(
        hash(&value).as_bytes(),
        &blake3::hash(&bytes).as_bytes()[..16]
    );
}

#[test]
fn a_long_value_is_hashed_as_one_piece() {
    let long = "x".repeat(40_000);
    let value = json!([long, "y".repeat(10_000), "z".repeat(10_000)]);
    let mut bytes = vec![1, b'a', 3, 0, 0, 0, 0, 0, 0, 0];
    for text in value.as_array().unwrap() {
        let text = text.as_str().unwrap();
        bytes.push(b's');
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.bytes());
    }
    assert_eq!(
        hash(&value).as_bytes(),
        &blake3::hash(&bytes).as_bytes()[..16]
    );
}

#[test]
fn values_that_only_look_alike_have_different_hashes() {
    let values = [
        json!(1),
        json!(1.0),
        json!("1"),
        json!([1]),
        json!([[1]]),
        json!({ "1": 1 }),
        json!({ "1": 1.0 }),
        json!(["1", 1]),
        json!([["1"], 1]),
        json!(0.0),
        json!(-0.0),
        json!(0),
        json!(null),
        json!([null]),
        json!(""),
    ];
    for (index, value) in values.iter().enumerate() {
        for other in &values[index + 1..] {
            assert_ne!(hash(value), hash(other), "{value} and {other}");
        }
    }
}

#[test]
fn a_number_that_exists_only_with_arbitrary_precision_has_a_hash_of_its_own() {
    let read = |text| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(
        hash(&read("1.50")) != hash(&read("1.5")),
        *ARBITRARY_PRECISION
    );
}

#[test]
fn a_value_deeper_than_any_stack_is_hashed() {
    let mut value = json!(1);
    for _ in 0..100_000 {
        value = Value::Array(vec![value]);
    }
    hash(&value);
    while let Value::Array(mut items) = value {
        value = items.pop().unwrap();
    }
}

#[test]
fn a_hash_is_32_digits_and_reads_them_back() {
    let bytes = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\xff";
    let hash = ContentHash::from_bytes(bytes);
    assert_eq!(hash.to_string(), "000102030405060708090a0b0c0d0eff");
    assert_eq!(hash.to_string().parse(), Ok(hash));
    expect!["ContentHash(000102030405060708090a0b0c0d0eff)"].assert_eq(&format!("{hash:?}"));
    for bad in [
        "",
        "000102030405060708090a0b0c0d0ef",
        "000102030405060708090A0B0C0D0EFF",
        "+00102030405060708090a0b0c0d0eff",
    ] {
        assert_eq!(bad.parse::<ContentHash>(), Err(ParseContentHashError));
    }
    expect!["a content hash is 32 hexadecimal digits in lower case"]
        .assert_eq(&ParseContentHashError.to_string());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_value_has_the_same_hash_after_jsonb(value in any_value()) {
        let mut text = Vec::new();
        encode(&value, &mut text).unwrap();
        let (mut read, form) = parse(&through_jsonb(&text)).unwrap();
        prop_assert_eq!(hash(&value), hash_ordered(&read));
        prop_assert_eq!(hash(&value), form.restore_and_hash(&mut read).unwrap());
    }

    #[test]
    fn hashes_are_equal_only_if_values_are(one in any_value(), other in any_value()) {
        prop_assert_eq!(hash(&one) == hash(&other), same(&one, &other));
    }
}

#[test]
fn the_most_bytes_of_a_value_are_as_they_are_measured() {
    let values = [
        json!([null, true, false, 0, -1, u64::MAX, 0.5, 1e300, "", "text"]),
        json!({ "b": [[], {}, [{ "a": 1 }]], "a": { "grün": "\0" } }),
        json!("text"),
    ];
    for value in values {
        let (measure, _) = measure_and_keep(&value);
        // The format is measured as well.
        assert_eq!(max_bytes(&value) + 1, measure.max_bytes, "{value}");
    }
}
