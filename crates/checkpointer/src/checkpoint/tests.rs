//! The child of a checkpoint, and what a step writes to it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use serde_json::json;

use super::{Checkpoint, CheckpointAddress, CheckpointTuple, Loaded, PendingWrite};
use crate::{Checkpointer, Error, MemoryCheckpointer, Metadata, Put, TaskId, ThreadId};

fn parent() -> CheckpointTuple {
    let checkpoint = Checkpoint::from_json(json!({
        "v": 3, "id": "~parent", "ts": "2026-11-23T16:39:04Z",
        "channel_values": { "n": 1 }, "channel_versions": { "n": 2 },
        "versions_seen": { "node": { "n": 1 } }, "updated_channels": ["n"],
        "pending_sends": ["once"],
    }));
    let checkpoint = checkpoint.unwrap();
    let thread_id = ThreadId::new("thread").unwrap();
    let address = CheckpointAddress::new(thread_id, checkpoint.id.clone()).unwrap();
    CheckpointTuple::new(address, checkpoint, Metadata::default())
}

#[test]
fn a_child_begins_with_its_parents_state() {
    let parent = parent();
    let child = Checkpoint::child_of(&parent);
    assert!(child.id > parent.address.checkpoint_id);
    let expected = json!({
        "v": 3, "id": child.id.as_str(), "ts": child.ts,
        "channel_values": { "n": 1 }, "channel_versions": { "n": 2 },
        "versions_seen": { "node": { "n": 1 } },
    });
    assert_eq!(child.to_json(), expected);
}

#[test]
fn a_write_keeps_values_and_versions_in_step() {
    let memory = MemoryCheckpointer::new();
    let mut child = Checkpoint::child_of(&parent());
    let before = child.channel_versions["n"].clone();
    let writes = [("n", None), ("m", Some(json!(1))), ("m", Some(json!(2)))];
    let new_versions = child.write(&memory, writes);
    assert_eq!(json!(child.channel_values), json!({ "m": 2 }));
    assert_eq!(child.channel_versions, new_versions);
    assert_eq!(new_versions.len(), 2);
    assert_ne!(new_versions["n"], before);
}

#[test]
fn a_channel_shares_the_value_of_a_pending_write() {
    let output = PendingWrite::new(TaskId::new("task").unwrap(), "m", json!([1]));
    let mut child = Checkpoint::child_of(&parent());
    let writes = [(&output.channel, Arc::clone(&output.value))];
    child.write(&MemoryCheckpointer::new(), writes);
    let stored = child.channel_values.get_shared("m").unwrap();
    assert!(Arc::ptr_eq(stored, &output.value));
}

#[tokio::test]
async fn the_child_of_a_parent_read_in_part_is_refused() {
    let mut parent = parent();
    parent.checkpoint = parent.checkpoint.with_loaded(Loaded::SomeChannels);
    let child = Checkpoint::child_of(&parent);
    let metadata = Metadata::default();
    let put = Put::after(&parent.address, &child, &metadata);
    let refused = MemoryCheckpointer::new().put(put).await.unwrap_err();
    assert!(
        matches!(refused, Error::PartialCheckpoint { .. }),
        "{refused}"
    );
}
