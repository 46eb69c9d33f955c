#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};

use super::Duty;
use crate::Watch;
use crate::watchers::Watchers;

#[test]
fn a_task_that_is_over_leaves_the_next_one_alone() {
    let (duty, watchers) = (Duty::default(), Arc::<Watchers>::default());
    let mut first = duty.take(&watchers).unwrap();
    assert!(!first.is_needed());
    let mut changes = watchers.add(Watch::all()).unwrap().into_stream();
    let mut second = duty.take(&watchers).unwrap();
    drop(first);
    assert!(duty.take(&watchers).is_none());
    assert!(changes.next().now_or_never().is_none());
    assert!(second.is_needed());

    // One that ends while there are watchers ends their streams.
    drop(second);
    assert!(changes.next().now_or_never().unwrap().is_none());
    assert!(duty.take(&watchers).is_some());
}
