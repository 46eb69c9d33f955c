//! What a removal counts, and when it ends.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use super::Removed;
use crate::{Error, ThreadId};

fn thread(name: &str) -> ThreadId {
    ThreadId::new(name).unwrap()
}

#[test]
fn what_is_removed_is_added_up() {
    let mut removed = Removed::default();
    let counts = |checkpoints, writes, bytes| Removed {
        checkpoints,
        writes,
        bytes,
        ..Removed::default()
    };
    for outcome in [counts(2, 3, 100), counts(4, 5, 10).of_thread()] {
        assert_eq!(
            removed.add(thread("a"), Ok(outcome)),
            ControlFlow::Continue(())
        );
    }
    assert_eq!(
        (removed.checkpoints, removed.writes, removed.threads),
        (6, 8, 1)
    );
    assert_eq!((removed.bytes, removed.examined), (110, 2));
    removed.complete().unwrap();
}

#[test]
fn a_thread_that_fails_is_no_reason_to_stop() {
    let mut removed = Removed::default();
    let busy = Err(Error::Busy {
        thread_id: thread("a"),
    });
    assert_eq!(removed.add(thread("a"), busy), ControlFlow::Continue(()));
    assert_eq!(removed.failed[0].thread_id, thread("a"));
    assert!(matches!(removed.complete(), Err(Error::Busy { .. })));
}

#[test]
fn a_database_that_cannot_be_used_is() {
    let errors = [
        Error::Closed,
        Error::Database {
            operation: "remove checkpoints",
            source: db::Error::Closed,
        },
    ];
    for error in errors {
        let mut removed = Removed::default();
        assert_eq!(removed.add(thread("a"), Err(error)), ControlFlow::Break(()));
    }
}
