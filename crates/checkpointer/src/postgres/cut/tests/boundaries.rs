use serde_json::{Value, json};

use super::{message, messages, send, try_send};

/// A leaf, longer than most, and the nodes above it.
const ONE_PLACE: usize = 10 * 1024;

/// How many bytes of chunks a value costs where another is stored.
#[track_caller]
fn check_costs(before: &Value, after: &Value, at_most: usize) {
    let stored = send(before);
    let sent = try_send(after, &stored.hashes()).unwrap();
    let (cost, whole) = (sent.bytes(), send(after).bytes());
    assert!(cost <= at_most, "{cost} bytes of {whole}");
    assert!(!sent.relied.is_empty());
}

#[test]
fn an_append_changes_the_end_only() {
    for length in (100..1000).step_by(100) {
        check_costs(&messages(0..length), &messages(0..=length), ONE_PLACE);
    }
}

#[test]
fn a_trimmed_head_changes_the_beginning_only() {
    for trimmed in [1, 2, 7, 100, 400] {
        check_costs(&messages(0..1000), &messages(trimmed..1000), ONE_PLACE);
        check_costs(&messages(0..1000), &messages(trimmed..1001), 2 * ONE_PLACE);
    }
}

#[test]
fn an_edit_in_the_middle_changes_what_is_around_it_only() {
    let all = messages(0..1000);
    for place in [0, 1, 333, 500, 998] {
        let without = messages((0..1000).filter(|n| *n != place));
        check_costs(&all, &without, ONE_PLACE);
        check_costs(&without, &all, ONE_PLACE);
        let edited = (0..1000).map(|n| if n == place { 5000 } else { n });
        check_costs(&all, &messages(edited), ONE_PLACE);
    }
}

#[test]
fn a_changed_key_of_a_large_object_changes_what_is_around_it_only() {
    let files = |changed: usize| -> Value {
        let contents = (0..200).map(|n| {
            let seed = if n == changed { 9000 + n } else { n };
            let content = message(seed)["content"]
                .as_str()
                .unwrap()
                .repeat(1 + n % 10);
            (format!("src/file_{n}.rs"), Value::from(content))
        });
        contents.collect()
    };
    let before = files(usize::MAX);
    for changed in [0, 77, 199] {
        check_costs(&before, &files(changed), ONE_PLACE);
    }
}

#[test]
fn a_change_deep_inside_costs_what_lies_around_it_at_each_level() {
    let state = |length: usize| {
        let agents = (0..20).map(|n| {
            let history = match n {
                7 => messages(0..length),
                _ => messages(n..n + 40),
            };
            json!({ "name": format!("agent {n}"), "history": history })
        });
        json!({ "plan": messages(0..50), "agents": agents.collect::<Vec<_>>() })
    };
    check_costs(&state(40), &state(41), ONE_PLACE);
}

#[test]
fn equal_items_in_a_row_change_no_more_than_the_ends() {
    let same = |count: usize| Value::from(vec![message(1); count]);
    check_costs(&same(1000), &same(1001), 2 * ONE_PLACE);
    check_costs(&same(1000), &same(999), 2 * ONE_PLACE);
}

#[test]
fn a_value_is_found_wherever_it_stands() {
    let list = messages(0..300);
    let around = json!({ "inside": list, "other": 1 });
    check_costs(&list, &around, 1024);
    check_costs(&around, &list, 0);
    let text = json!("x".repeat(10_000));
    check_costs(&text, &text, 0);
}
