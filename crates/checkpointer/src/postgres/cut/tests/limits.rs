use std::collections::HashSet;

use expect_test::{Expect, expect};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{send, try_send};
use crate::Error;
use crate::codec::tests::{any_value, same};
use crate::codec::{self, ContentHash, MAX_BYTES, MAX_DEPTH};
use crate::postgres::cut::{Cut, LEAF_BYTES};

/// A list in a list in a list …, cut at every level: each has a long text next to the next one.
fn nested(levels: usize, inner: Value) -> Value {
    (0..levels).fold(inner, |inner, n| {
        json!([format!("{n} {}", "x".repeat(LEAF_BYTES)), inner])
    })
}

/// Collects the hashes of all chunks of a value.
fn collect_hashes(cut: &Cut, hashes: &mut HashSet<ContentHash>) {
    match cut {
        Cut::Whole(whole) => {
            hashes.insert(*whole.hash());
        }
        Cut::Tree(tree) => {
            hashes.extend(tree.levels().nodes().iter().flatten().map(|node| node.hash));
            for item in tree.items() {
                collect_hashes(&item.cut, hashes);
            }
        }
    }
}

/// A value that is refused as the codec refuses it, though every chunk of it is stored.
#[track_caller]
fn check_refused(value: &Value, expected: Expect) {
    let refused = codec::encode(value, &mut Vec::new()).unwrap_err();
    let mut stored = HashSet::new();
    collect_hashes(&Cut::of_channel(value, || None).unwrap(), &mut stored);
    match try_send(value, &stored).map(|_| ()).unwrap_err() {
        Error::Unstorable {
            place,
            path,
            reason,
            ..
        } => {
            assert_eq!(path, refused.path.to_string());
            assert_eq!(place, "channel `a`");
            expected.assert_eq(&reason);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_of_the_greatest_depth_comes_back_from_chunks() {
    for inner in [json!(["x".repeat(3000)]), json!({}), json!([])] {
        let value = nested(MAX_DEPTH - 1, inner);
        assert!(same(&send(&value).read().unwrap(), &value));
    }
}

#[test]
fn a_value_too_deep_is_refused_though_none_of_its_chunks_is() {
    let too_deep = || expect!["arrays and objects nested deeper than 100"];
    check_refused(&nested(MAX_DEPTH, json!({})), too_deep());
    let long = json!("x".repeat(3000));
    check_refused(&nested(60, nested(60, long)), too_deep());
    let inner = json!({ "b": nested(30, nested(39, json!([]))) });
    check_refused(&json!({ "a\0": nested(30, inner) }), too_deep());
}

#[test]
fn a_value_deeper_than_any_stack_is_refused() {
    let mut value = json!("x".repeat(3000));
    for _ in 0..100_000 {
        value = Value::Array(vec![value]);
    }
    let refused = try_send(&value, &HashSet::new()).map(|_| ()).unwrap_err();
    assert!(matches!(refused, Error::Unstorable { .. }));
    while let Value::Array(mut items) = value {
        value = items.pop().unwrap();
    }
}

#[test]
fn a_value_too_large_is_refused_though_none_of_its_chunks_is() {
    // Six bytes of text for one of the string.
    let part = json!("\u{2}".repeat(8 << 20));
    check_refused(
        &json!({ "parts": vec![part; 6] }),
        expect!["a value of more than 268435456 bytes, as text or as JSONB"],
    );
}

#[test]
fn an_array_of_too_many_members_is_refused_though_no_chunk_has_as_many() {
    for item in [json!(null), json!(""), json!([]), json!({}), json!(0)] {
        let most = codec::max_bytes(&item);
        assert!(most * ((1 << 24) + 1) > MAX_BYTES, "{item}: {most}");
        let member = codec::max_key_bytes("") + most;
        assert!(member * ((1 << 23) + 1) > MAX_BYTES, "{item}: {member}");
    }
}

#[test]
fn what_is_measured_is_never_less_than_what_is_written() {
    #[track_caller]
    fn check(value: &Value) {
        let mut text = Vec::new();
        codec::encode(value, &mut text).unwrap();
        let measure = codec::measure_and_keep(value).0;
        // With the comma behind it.
        assert!(text.len() < measure.max_bytes, "{value}");
        let jsonb = codec::most_jsonb_bytes(value);
        assert!(jsonb <= measure.max_bytes, "{value}: {jsonb}");
        let depth = (0..=MAX_DEPTH).find(|depth| is_at_most(value, *depth));
        assert_eq!(Some(measure.depth), depth, "{value}");
    }
    let scalars = [
        json!(null),
        json!(true),
        json!(false),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(f64::MAX),
        json!(f64::MIN),
        json!(-5e-324),
        json!(-2.225_073_858_507_201e-308),
        json!(-0.0),
        json!(-1.234_567_890_123_456_7e-5),
        json!(-9.876_543_210_987_654e-6),
        json!(1e16),
        json!("\0".repeat(100)),
        json!("\u{1}"),
        json!("\u{1f}\n\"\\".repeat(100)),
        json!(""),
        json!("$serde_json::private::Number"),
        json!([]),
        json!({}),
    ];
    for scalar in scalars {
        check(&scalar);
        check(&Value::from(vec![scalar; 100]));
    }
    check(&json!({ "\0\u{1}": [[[]], {}], "": { "": {} } }));
    check(&json!({ "$serde_json::private::Number": null, "\u{1}": "\u{1}" }));
    let keys = (0..3000).rev().map(|n| (format!("{n}"), json!([])));
    check(&Value::Object(keys.collect()));
    proptest!(ProptestConfig::with_cases(300), |(value in any_value())| check(&value));
}

/// Whether arrays and objects lie in each other no deeper than that.
fn is_at_most(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_at_most(item, depth - 1)),
        Value::Object(members) => {
            depth > 0 && members.values().all(|member| is_at_most(member, depth - 1))
        }
        _ => true,
    }
}
