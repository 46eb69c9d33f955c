//! How writes are numbered.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use super::{number, special_index};

fn numbers(writes: &[(&str, i32)]) -> Vec<(i32, String, i64, bool)> {
    let writes: Vec<_> = writes
        .iter()
        .map(|(channel, value)| ((*channel).to_owned(), json!(value)))
        .collect();
    number(&writes)
        .into_iter()
        .map(|write| {
            let value = write.value.as_i64().unwrap();
            (
                write.idx,
                write.channel.to_owned(),
                value,
                write.is_regular(),
            )
        })
        .collect()
}

#[test]
fn special_channels_have_the_indexes_of_langgraph() {
    let channels = ["__error__", "__scheduled__", "__interrupt__", "__resume__"];
    let indexes = channels.map(special_index);
    assert_eq!(indexes, [Some(-1), Some(-2), Some(-3), Some(-4)]);
    assert_eq!(special_index("messages"), None);
    assert_eq!(special_index("__start__"), None);
}

#[test]
fn regular_writes_count_from_zero_whatever_stands_between_them() {
    let numbered = numbers(&[("__error__", 0), ("a", 1), ("__resume__", 2), ("b", 3)]);
    let expected = [
        (-4, "__resume__".to_owned(), 2, false),
        (-1, "__error__".to_owned(), 0, false),
        (0, "a".to_owned(), 1, true),
        (1, "b".to_owned(), 3, true),
    ];
    assert_eq!(numbered, expected);
}

#[test]
fn the_last_write_to_a_special_channel_counts() {
    let numbered = numbers(&[("__resume__", 1), ("a", 2), ("__resume__", 3)]);
    let expected = [
        (-4, "__resume__".to_owned(), 3, false),
        (0, "a".to_owned(), 2, true),
    ];
    assert_eq!(numbered, expected);
}
