//! Differences of values, as the JSON that programs get.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use checkpointer::serde_json::json;
use expect_test::{Expect, expect};

use super::*;
use crate::json::difference;

fn check(before: Value, after: Value, expected: Expect) {
    let state = |value: Value| ChannelValues::from([("x".to_owned(), value)]);
    let (before, after) = (state(before), state(after));
    let found = difference(&Difference::between(&before, &after));
    expected.assert_eq(&found.to_string());
}

#[test]
fn equal_channels_are_left_out() {
    check(
        json!({ "a": [1, 2.5, "b"] }),
        json!({ "a": [1, 2.5, "b"] }),
        expect!["[]"],
    );
}

#[test]
fn channels_are_added_removed_and_replaced() {
    let before = ChannelValues::from([("a".to_owned(), json!(1)), ("b".to_owned(), json!(2))]);
    let after = ChannelValues::from([("b".to_owned(), json!("2")), ("c".to_owned(), json!(null))]);
    let found = difference(&Difference::between(&before, &after));
    let expected = expect![[
        r#"[{"channel":"a","removed":1},{"channel":"b","replaced":{"after":"2","before":2}},{"added":null,"channel":"c"}]"#
    ]];
    expected.assert_eq(&found.to_string());
}

#[test]
fn an_item_at_the_end_is_the_only_change() {
    check(
        json!([1, 2]),
        json!([1, 2, 3]),
        expect![[r#"[{"channel":"x","items":[{"added":3,"after":2,"before":null}]}]"#]],
    );
}

#[test]
fn items_move_without_becoming_changes_of_those_behind() {
    check(
        json!(["a", "b", "c"]),
        json!(["z", "a", "b"]),
        expect![[
            r#"[{"channel":"x","items":[{"added":"z","after":0,"before":null},{"after":null,"before":2,"removed":"c"}]}]"#
        ]],
    );
}

#[test]
fn items_with_the_same_id_are_compared() {
    let before = json!([{ "id": "m1", "n": 1 }, { "id": "m3", "n": 3 }]);
    let after = json!([{ "id": "m2", "n": 2 }, { "id": "m1", "n": 0 }, { "id": "m4", "n": 4 }]);
    check(
        before,
        after,
        expect![[
            r#"[{"channel":"x","items":[{"added":{"id":"m2","n":2},"after":0,"before":null},{"after":1,"before":0,"members":[{"key":"n","replaced":{"after":0,"before":1}}]},{"after":null,"before":1,"removed":{"id":"m3","n":3}},{"added":{"id":"m4","n":4},"after":2,"before":null}]}]"#
        ]],
    );
}

#[test]
fn words_inside_a_text_are_found() {
    check(
        json!("The order was sent on Monday, by mail."),
        json!("The order was sent on Tuesday, by mail."),
        expect![[
            r#"[{"channel":"x","text":[{"kept":"The order was sent on "},{"removed":"Monday"},{"added":"Tuesday"},{"kept":", by mail."}]}]"#
        ]],
    );
}

#[test]
fn texts_with_little_in_common_are_replaced() {
    check(
        json!("yes, of course"),
        json!("no, never again"),
        expect![[
            r#"[{"channel":"x","replaced":{"after":"no, never again","before":"yes, of course"}}]"#
        ]],
    );
}

#[test]
fn the_parts_of_a_text_are_the_text() {
    let before = "naïve 你好吗 👍🏽 one two three four";
    let after = "naïve 你好 👍🏽 one 2 three four five";
    let deadline = Instant::now() + PATIENCE;
    let parts = text::compare(before, after, deadline).unwrap();
    let join = |of: fn(&TextPart<'_>) -> bool| -> String {
        (parts.iter().filter(|part| of(part)))
            .map(|part| match part {
                TextPart::Kept(text) | TextPart::Added(text) | TextPart::Removed(text) => *text,
            })
            .collect()
    };
    assert_eq!(join(|part| !matches!(part, TextPart::Added(_))), before);
    assert_eq!(join(|part| !matches!(part, TextPart::Removed(_))), after);
}

#[test]
fn a_difference_of_large_arrays_takes_no_longer_than_its_patience() {
    let before: Vec<Value> = (0..100_000).map(|n| json!(n)).collect();
    let after: Vec<Value> = (0..100_000).map(|n| json!(n * 7 % 100_003)).collect();
    let started = Instant::now();
    let state = |items| ChannelValues::from([("x".to_owned(), Value::Array(items))]);
    let (before, after) = (state(before), state(after));
    assert!(!Difference::between(&before, &after).is_empty());
    assert!(started.elapsed() < 10 * PATIENCE);
}
