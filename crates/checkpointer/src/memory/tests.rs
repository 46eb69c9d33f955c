//! What only the checkpointer in memory does.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::json;

use super::MemoryCheckpointer;
use crate::{
    Checkpoint, CheckpointId, Checkpointer, Error, GetTuple, Metadata, Put, Source, ThreadId,
};

#[tokio::test]
async fn a_clone_shares_the_store() {
    let checkpointer = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("shared").unwrap();
    let checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let metadata = Metadata::new(Source::Input, -1);
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    checkpointer.clone().put(put).await.unwrap();
    let head = checkpointer
        .get_tuple(GetTuple::head(&thread_id).unwrap())
        .await;
    assert_eq!(head.unwrap().unwrap().checkpoint, checkpoint);
}

#[tokio::test]
async fn debug_output_holds_no_state() {
    let checkpointer = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("secretive").unwrap();
    let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let values = &mut checkpoint.channel_values;
    values.insert("card".to_owned(), json!("4711"));
    let metadata = Metadata::default();
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    checkpointer.put(put).await.unwrap();
    let debug = format!("{checkpointer:?}");
    assert_eq!(debug, "MemoryCheckpointer { threads: 1, .. }");
}

#[tokio::test]
async fn a_generation_of_a_thread_nobody_remembers_is_over() {
    let before = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("forgotten").unwrap();
    let checkpoint = Checkpoint::new(CheckpointId::generate(None));
    let metadata = Metadata::default();
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    let address = before.put(put).await.unwrap();
    let after = MemoryCheckpointer::new();
    let put = Put::after(&address, &checkpoint, &metadata);
    let refusal = after.put(put).await.unwrap_err();
    assert!(matches!(refusal, Error::ThreadDeleted { .. }), "{refusal}");
}
