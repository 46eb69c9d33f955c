//! Where the page finds what tasks have left.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use checkpointer::serde_json::json;
use checkpointer::{Checkpoint, CheckpointAddress, CheckpointId, Metadata};

use super::*;

#[test]
fn writes_that_share_their_value_have_their_own_places() {
    let id = CheckpointId::new("c1").unwrap();
    let address = CheckpointAddress::new("t", &id).unwrap();
    let mut tuple = CheckpointTuple::new(address, Checkpoint::new(id), Metadata::default());
    let value = Arc::new(json!(["text"]));
    let writes = [("one", "a"), ("one", "b"), ("two", INTERRUPT), ("two", "a")];
    tuple.pending_writes = writes
        .map(|(task, channel)| {
            PendingWrite::new(TaskId::new(task).unwrap(), channel, Arc::clone(&value))
        })
        .into();
    let pending = Pending::of(&tuple);
    let place = Place::of(&tuple.address);
    let writes = Writes::of(&tuple, &place);
    let found = pending.tasks.iter().flat_map(|task| left(task, &writes));
    let found: Vec<_> = found.map(|(at, name, _)| (at, name)).collect();
    let expected = [("0", "a"), ("1", "b"), ("2", "question"), ("3", "a")];
    assert_eq!(found, expected.map(|(at, name)| (at.to_owned(), name)));
}
