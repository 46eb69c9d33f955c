//! What a list knows of its values.
#![expect(clippy::unwrap_used, reason = "a failed test may panic")]

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{ChannelValues, TrackedList};

/// How many items a list has in common with a value, as a put is told.
fn same(list: &TrackedList, before: &Arc<Value>) -> usize {
    list.origin().same_as(&Arc::downgrade(before))
}

fn numbers(numbers: std::ops::Range<u32>) -> Vec<Value> {
    numbers.map(Value::from).collect()
}

#[test]
fn a_list_knows_what_it_has_in_common_with_the_value_before() {
    let mut list = TrackedList::from(numbers(0..3));
    let before = Arc::clone(list.value());
    list.extend(numbers(3..5));
    assert_eq!(same(&list, &before), 3);
    list.truncate(4);
    assert_eq!(same(&list, &before), 3);
    list.truncate(2);
    list.extend(numbers(7..9));
    assert_eq!(same(&list, &before), 2);
    assert_eq!(list.items(), [0, 1, 7, 8]);
    assert_eq!(*before, json!([0, 1, 2]));
}

#[test]
fn a_list_has_nothing_in_common_with_other_values() {
    let mut list = TrackedList::from(numbers(0..3));
    let first = Arc::clone(list.value());
    list.extend(numbers(3..4));
    let second = Arc::clone(list.value());
    list.extend(numbers(4..5));
    assert_eq!(same(&list, &second), 4);
    assert_eq!(same(&list, &first), 0);
    assert_eq!(same(&list, list.value()), 0);
    assert_eq!(same(&TrackedList::new(), &first), 0);
}

#[test]
fn a_value_that_is_known_by_its_place_leaves_it_when_it_changes() {
    let mut list = TrackedList::from(numbers(0..3));
    let place = Arc::downgrade(list.value());
    list.extend(numbers(3..4));
    assert_eq!(place.strong_count(), 0);
    assert_eq!(list.origin().same_as(&place), 3);
    // Nobody knows this value, so it needs no other place.
    let at = Arc::as_ptr(list.value());
    list.extend(numbers(4..5));
    assert_eq!(Arc::as_ptr(list.value()), at);
    assert_eq!(list.origin().same_as(&place), 3);
}

#[test]
fn a_clone_goes_its_own_way() {
    let mut list = TrackedList::from(numbers(0..3));
    let mut other = list.clone();
    let before = Arc::clone(list.value());
    list.extend([json!("one")]);
    other.truncate(1);
    other.extend([json!("other")]);
    assert_eq!(list.items(), [json!(0), json!(1), json!(2), json!("one")]);
    assert_eq!(other.items(), [json!(0), json!("other")]);
    assert_eq!((same(&list, &before), same(&other, &before)), (3, 1));
}

#[test]
fn only_the_value_of_a_list_comes_from_it() {
    let mut list = TrackedList::from(numbers(0..3));
    let before = Arc::clone(list.value());
    list.extend(numbers(3..4));
    let mut values = ChannelValues::new();
    values.insert_list("list", &list);
    let place = Arc::downgrade(&before);
    let same = |values: &ChannelValues| values.origin("list").map(|it| it.same_as(&place));
    assert_eq!(same(&values), Some(3));
    assert_eq!(same(&values.clone()), Some(3));
    assert_eq!(values, ChannelValues::from([("list", json!([0, 1, 2, 3]))]));

    let mut changed = values.clone();
    changed.get_mut("list").unwrap()[0] = json!(9);
    assert_eq!(same(&changed), None);
    let mut replaced = values.clone();
    replaced.insert("list", json!([0, 1, 2, 3]));
    assert_eq!(same(&replaced), None);
    replaced.insert_shared("list", before);
    assert_eq!(same(&replaced), None);
    values.remove("list");
    assert_eq!(same(&values), None);
}

#[test]
fn a_value_that_is_held_once_is_not_copied_to_be_changed() {
    let mut list = TrackedList::from(numbers(0..100));
    list.extend(numbers(100..101));
    let items = list.items().as_ptr();
    let place = Arc::downgrade(list.value());
    list.truncate(50);
    assert_eq!(list.items().as_ptr(), items);
    assert!(place.upgrade().is_none());
}
