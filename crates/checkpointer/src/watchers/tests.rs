//! What a watcher finds in its mailbox.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};

use super::Watchers;
use crate::{CheckpointAddress, CheckpointNs, Generation, HeadChange, ThreadId, Watch};

fn moved(thread_id: &str, ns: &str, id: &str) -> HeadChange {
    let address = CheckpointAddress::new(thread_id, id).unwrap();
    HeadChange::Moved(address.in_ns(CheckpointNs::new(ns).unwrap()))
}

fn deleted(thread_id: &str, generation: i64) -> HeadChange {
    HeadChange::deleted(&ThreadId::new(thread_id).unwrap(), Generation(generation))
}

/// What a watcher takes who comes after all of the changes.
fn taken(watch: Watch, changes: &[HeadChange]) -> Vec<HeadChange> {
    let watchers = Arc::<Watchers>::default();
    let watcher = watchers.add(watch).unwrap();
    changes.iter().for_each(|change| watchers.tell(change));
    watchers.close();
    let changes: Vec<_> = watcher.into_stream().collect().now_or_never().unwrap();
    assert!(watchers.are_none());
    assert!(watchers.threads().is_empty());
    changes.into_iter().map(Result::unwrap).collect()
}

#[test]
fn a_slow_watcher_takes_the_last_head_of_each_namespace() {
    let changes = [
        moved("a", "", "1"),
        moved("b", "", "1"),
        moved("a", "sub", "1"),
        moved("a", "", "2"),
        moved("b", "", "2"),
    ];
    let expected = [
        moved("a", "", "2"),
        moved("a", "sub", "1"),
        moved("b", "", "2"),
    ];
    assert_eq!(taken(Watch::all(), &changes), expected);
}

#[test]
fn a_deletion_takes_the_heads_along_and_comes_before_those_of_the_next_generation() {
    let changes = [
        moved("a", "", "1"),
        deleted("a", 1),
        moved("a", "", "2"),
        deleted("a", 2),
        moved("a", "sub", "3"),
    ];
    let expected = [deleted("a", 2), moved("a", "sub", "3")];
    assert_eq!(taken(Watch::all(), &changes), expected);
}

#[test]
fn a_watcher_is_told_of_what_it_watches() {
    let changes = [
        moved("a", "", "1"),
        moved("a", "sub", "1"),
        moved("b", "sub", "1"),
        deleted("a", 1),
        moved("a", "sub", "2"),
        moved("a", "", "2"),
    ];
    let sub = CheckpointNs::new("sub").unwrap();
    let watch = Watch::thread("a").unwrap().in_ns(&sub);
    let expected = [deleted("a", 1), moved("a", "sub", "2")];
    assert_eq!(taken(watch, &changes), expected);
    let expected = [moved("b", "sub", "1")];
    assert_eq!(taken(Watch::thread("b").unwrap(), &changes), expected);
}
