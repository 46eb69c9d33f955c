//! Values come back equal.

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Map, Number, Value, json};

use super::{any_float, any_number_text, any_text, any_value, same, through_jsonb};
use crate::codec::number::ARBITRARY_PRECISION;
use crate::codec::{decode, encode, encode_key, encode_object};

fn encoded(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    encode(value, &mut text).unwrap();
    text
}

#[track_caller]
fn check_comes_back(value: &Value) {
    let stored = through_jsonb(&encoded(value));
    let decoded = decode(&stored).unwrap();
    assert!(same(value, &decoded), "{value:?} came back as {decoded:?}");
    assert_eq!(*value, decoded);
}

#[track_caller]
fn check_stored(value: Value, expected: Expect) {
    let text = encoded(&value);
    expected.assert_eq(std::str::from_utf8(&text).unwrap());
    check_comes_back(&value);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_value_comes_back(value in any_value()) {
        check_comes_back(&value);
    }

    #[test]
    fn every_float_comes_back(float in any_float()) {
        let value = Value::from(float);
        check_comes_back(&value);
        let decoded = decode(&through_jsonb(&encoded(&value))).unwrap();
        prop_assert_eq!(decoded.as_f64().unwrap().to_bits(), float.to_bits());
    }

    #[test]
    fn every_number_text_comes_back(text in any_number_text()) {
        check_comes_back(&Value::Number(text.parse().unwrap()));
    }

    #[test]
    fn every_string_and_key_comes_back(key in any_text(), text in any_text()) {
        let map = Map::from_iter([(key, Value::String(text))]);
        check_comes_back(&Value::Object(map));
    }

    #[test]
    fn what_needs_no_other_form_is_plain_json(text in "[^\u{0}\u{1}]*", int in any::<i64>()) {
        let value = json!({ "half": 0.5, "int": int, "none": null, "text": text });
        prop_assert_eq!(encoded(&value), serde_json::to_vec(&value).unwrap());
    }
}

#[test]
fn the_limits_of_every_kind_of_number_come_back() {
    for float in [
        f64::MAX,
        f64::MIN,
        f64::MIN_POSITIVE,
        f64::EPSILON,
        5e-324,
        -5e-324,
        0.0,
        -0.0,
        0.1,
        1e-5,
        1e-7,
        9_007_199_254_740_992.0,
        9_999_999_999_999_998.0,
        1e16,
        -1e16,
        9_223_372_036_854_775_807.0,
        -9_223_372_036_854_775_808.0,
        18_446_744_073_709_551_615.0,
        36_893_488_147_419_103_232.0,
        1e22,
        1e23,
        1e300,
    ] {
        check_comes_back(&json!(float));
        check_comes_back(&json!(float.next_up()));
        check_comes_back(&json!(float.next_down()));
    }
    for integer in [i64::MIN, -1, 0, 1, i64::MAX] {
        check_comes_back(&json!(integer));
    }
    check_comes_back(&json!(u64::MAX));
}

#[test]
fn floats_are_written_without_exponent() {
    check_stored(
        json!([1e16, -1.5e17, 1e-7, 0.1, 1.0, 1e15]),
        expect!["[10000000000000000.0,-150000000000000000.0,0.0000001,0.1,1.0,1000000000000000.0]"],
    );
}

#[test]
fn what_jsonb_would_refuse_or_change_is_escaped() {
    check_stored(
        json!(["a\0b", "\u{1}", "\u{1}s", "\u{2}", -0.0, 0.0]),
        expect![[
            r#"["\u0001sa\u00010b","\u0001s\u00011","\u0001s\u00011s","\u0002","\u0001n-0.0",0.0]"#
        ]],
    );
    check_stored(
        json!({ "\0": "$serde_json::private::Number" }),
        expect![[r#"{"\u0001s\u00010":"$serde_json::private::Number"}"#]],
    );
    check_stored(
        json!({ "$serde_json::private::Number": "1" }),
        expect![[r#"{"\u0001s$serde_json::private::Number":"1"}"#]],
    );
}

#[test]
fn objects_and_keys_are_written_alone_too() {
    let map = Map::from_iter([("a\0".to_owned(), json!(1))]);
    let mut object = b"before ".to_vec();
    encode_object(&map, &mut object).unwrap();
    assert_eq!(object, br#"before {"\u0001sa\u00010":1}"#);

    let mut key = Vec::new();
    encode_key("a\0", &mut key).unwrap();
    assert_eq!(key, br#""\u0001sa\u00010""#);
}

#[test]
fn a_float_is_stored_alike_with_and_without_arbitrary_precision() {
    for (value, stored) in [
        (json!(1e300), format!("1{}.0", "0".repeat(300))),
        (json!(1e-7), "0.0000001".to_owned()),
        (json!(1.5), "1.5".to_owned()),
    ] {
        assert_eq!(String::from_utf8(encoded(&value)).unwrap(), stored);
        assert!(same(&decode(stored.as_bytes()).unwrap(), &value));
    }
}

#[test]
fn a_number_written_with_arbitrary_precision_is_read_exactly_or_not_at_all() {
    #[track_caller]
    fn check(stored: &str, without: Option<f64>) {
        let read = decode(stored.as_bytes());
        if *ARBITRARY_PRECISION {
            assert!(read.is_ok());
        } else {
            let bits = without.map(f64::to_bits);
            assert_eq!(
                read.ok().and_then(|value| value.as_f64()).map(f64::to_bits),
                bits
            );
        }
    }
    check(r#""\u0001n-0.0""#, Some(-0.0));
    check(r#""\u0001n-0""#, Some(-0.0));
    check(r#""\u0001n1.50e+3""#, Some(1500.0));
    check(r#""\u0001n1e+300""#, Some(1e300));
    check(r#""\u0001n18446744073709551616""#, None);
    check(r#""\u0001n0.1000000000000000000001""#, None);
    check(r#""\u0001n-1e-400""#, None);
    check("1.50", Some(1.5));
}

#[test]
fn with_arbitrary_precision_the_text_of_a_number_comes_back() {
    for (text, plain) in [
        ("1.50", true),
        ("0.00", true),
        ("-12.3400", true),
        ("10000000000000000.00", true),
        ("10000000000000000.0", false),
        ("1e16", true),
        ("1.0e16", false),
        ("-0", false),
        ("-0.00", false),
        ("18446744073709551616", false),
        ("-9223372036854775809", false),
        ("0.1000000000000000000001", false),
        ("34e-56789", false),
        ("1e99999999999", false),
    ] {
        // Without the feature the numbers with the largest exponents are no numbers.
        let Ok(number) = text.parse::<Number>() else {
            assert!(!*ARBITRARY_PRECISION);
            continue;
        };
        if *ARBITRARY_PRECISION {
            let escaped = encoded(&Value::Number(number.clone())).starts_with(br#""\u0001n"#);
            assert_eq!(plain, !escaped, "{text}");
        }
        check_comes_back(&Value::Number(number));
    }
}

#[test]
fn a_value_of_the_greatest_depth_comes_back() {
    let mut value = json!({ "a\0": -0.0 });
    for _ in 0..99 {
        value = json!([value]);
    }
    check_comes_back(&value);
}
