#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Known, Memo};
use crate::codec::tests::any_value;
use crate::codec::{self, ContentHash};
use crate::postgres::chunk::Reference;
use crate::postgres::cut::Cut;
use crate::{CheckpointNs, ThreadId};

fn cut(value: &Value, known: &mut Known) -> (Option<Reference>, HashSet<ContentHash>) {
    let mut cut = Cut::default();
    let reference = cut.value(value, known);
    (reference, cut.hashes().collect())
}

/// Cuts values one after the other, as if they were put: what is known must change nothing.
#[track_caller]
fn check<'a>(values: impl IntoIterator<Item = &'a Value>) {
    let mut known = Known::default();
    for value in values {
        let expected = cut(value, &mut Known::default());
        assert_eq!(cut(value, &mut known), expected, "{value}");
        assert_eq!(cut(value, &mut known), expected, "{value} again");
    }
}

fn item(n: usize) -> Value {
    json!({ "n": n, "text": n.to_string().repeat(50) })
}

fn items(numbers: impl IntoIterator<Item = usize>) -> Value {
    numbers.into_iter().map(item).collect()
}

#[test]
fn edits_are_seen_wherever_they_are() {
    check(&[
        items(0..200),
        items(0..201),
        items(5..202),
        items((5..100).chain([999]).chain(101..202)),
        items(5..100),
        items((5..100).rev()),
        items([]),
        items(std::iter::repeat_n(7, 200)),
        items(std::iter::repeat_n(7, 199)),
        json!({ "a": items(0..100), "b": items(0..100) }),
        json!({ "b": items(0..101), "c": [items(0..100), "x".repeat(3000)] }),
        json!({ "b": items(0..101), "c": [items(1..100), "y".repeat(3000)] }),
        json!([items(0..101), items(1..100), "x".repeat(3000)]),
        json!("x".repeat(3000)),
    ]);
}

#[test]
fn values_that_only_compare_as_equal_are_told_apart() {
    let long = "x".repeat(3000);
    for [one, other] in [
        [json!(0.0), json!(-0.0)],
        [json!(1), json!(1.0)],
        [json!([0.0]), json!([-0.0])],
        [json!({ "a": { "b": 0.0 } }), json!({ "a": { "b": -0.0 } })],
    ] {
        assert_ne!(codec::hash(&one), codec::hash(&other));
        check(&[json!([long, one]), json!([long, other]), json!([long, one])]);
    }
}

#[test]
fn a_value_too_deep_is_not_remembered() {
    let mut deep = json!("x".repeat(3000));
    for _ in 0..100_000 {
        deep = Value::Array(vec![deep]);
    }
    let mut known = Known::default();
    assert_eq!(cut(&deep, &mut known), cut(&deep, &mut Known::default()));
    drop(known);
    while let Value::Array(mut items) = deep {
        deep = items.pop().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_is_known_changes_nothing(
        one in prop::collection::vec(any_value(), 0..8),
        other in prop::collection::vec(any_value(), 0..8),
        places in prop::collection::vec((0..8_usize, 0..8_usize), 1..6),
    ) {
        let long = json!("x".repeat(3000));
        let values = places.into_iter().map(|(from, to)| {
            let items = one.iter().skip(from).chain(other.iter().take(to));
            Value::Array(items.chain([&long]).cloned().collect())
        });
        check(&values.collect::<Vec<_>>());
    }
}

fn remembered(memo: &Memo, channel: &str) -> bool {
    let thread_id = ThreadId::new("thread").unwrap();
    memo.with(&thread_id, &CheckpointNs::ROOT, channel, |known| {
        !matches!(known, Known::Nothing)
    })
}

#[test]
fn a_memo_is_bounded_and_forgets_what_was_used_longest_ago() {
    let list = items(0..100);
    let mut known = Known::default();
    cut(&list, &mut known);
    let thread_id = ThreadId::new("thread").unwrap();
    let memo = Memo::new(3 * known.bytes());
    let put = |channel: &str, list: &Value| {
        memo.with(&thread_id, &CheckpointNs::ROOT, channel, |known| {
            cut(list, known);
        });
    };
    for channel in ["a", "b", "c"] {
        put(channel, &list);
    }
    assert!(remembered(&memo, "a"));
    put("d", &list);
    assert!(!remembered(&memo, "b"));
    for channel in ["a", "c", "d"] {
        assert!(remembered(&memo, channel));
    }
    // One that is too long by itself drives out no other.
    put("e", &items(0..1000));
    assert!(!remembered(&memo, "e"));
    assert!(remembered(&memo, "a"));
    put("a", &items(0..1000));
    assert!(!remembered(&memo, "a"));
    assert_eq!(memo.lock().bytes, 2 * known.bytes());
}
