//! Where forks are put.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use checkpointer::serde_json::json;
use checkpointer::{GetTuple, MemoryCheckpointer, ThreadId};

use super::*;

/// Puts a checkpoint of which LangGraph says how long ago its channels had a snapshot.
async fn put(memory: &MemoryCheckpointer, after: Option<&CheckpointTuple>) -> CheckpointTuple {
    let thread = ThreadId::new("t").unwrap();
    let parent = after.map(|after| &after.address.checkpoint_id);
    let checkpoint = Checkpoint::new(CheckpointId::generate(parent));
    let metadata = Metadata::new(Source::Loop, 3).with(DELTAS, json!({ "log": [1, 2] }));
    let mut put = Put::new(&thread, &checkpoint, &metadata);
    put.parent = parent;
    let stored = memory.put(put).await.unwrap();
    read(memory, &stored).await
}

async fn read(memory: &MemoryCheckpointer, at: &CheckpointAddress) -> CheckpointTuple {
    let found = memory.get_tuple(GetTuple::at(at)).await;
    found.unwrap().unwrap()
}

#[tokio::test]
async fn a_fork_of_what_has_channels_of_deltas_stands_beside_it() {
    let memory = MemoryCheckpointer::new();
    let first = put(&memory, None).await;
    let second = put(&memory, Some(&first)).await;
    let mut head = put(&memory, Some(&second)).await;
    for (from, parent) in [(&second, Some(&first)), (&first, None)] {
        let head_id = &head.address.checkpoint_id;
        let forked = fork(&memory, from, head_id, Map::new()).await.unwrap();
        head = read(&memory, &forked).await;
        let parent = parent.map(|parent| &parent.address.checkpoint_id);
        let stands = head.parent_address.as_ref();
        assert_eq!(stands.map(|parent| &parent.checkpoint_id), parent);
        assert_eq!(head.metadata.get(DELTAS), from.metadata.get(DELTAS));
        assert_eq!(head.metadata.step(), Some(4));
    }
}
