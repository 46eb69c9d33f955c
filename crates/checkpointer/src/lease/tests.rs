//! What a lease shows of itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::SystemTime;

use crate::{Checkpoint, CheckpointAddress, CheckpointId, DeleteThread, Metadata, TaskId};
use crate::{Lease, Put, PutWrites, ThreadId};

#[test]
fn no_debug_shows_a_leases_token() {
    let thread_id = ThreadId::new("support-4711").unwrap();
    let lease = Lease::new(thread_id.clone(), 7, "secret", SystemTime::UNIX_EPOCH).unwrap();
    let checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let metadata = Metadata::default();
    let address = CheckpointAddress::new(thread_id.clone(), checkpoint.id.clone()).unwrap();
    let task_id = TaskId::new("task").unwrap();
    let shown = [
        format!("{lease:?}"),
        format!(
            "{:?}",
            Put::new(&thread_id, &checkpoint, &metadata).lease(&lease)
        ),
        format!(
            "{:?}",
            PutWrites::new(&address, &task_id, &[]).lease(&lease)
        ),
        format!("{:?}", DeleteThread::new(&thread_id).unwrap().lease(&lease)),
    ];
    for shown in shown {
        assert!(shown.contains("number: 7"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
