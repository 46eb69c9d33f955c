//! `get_tuple`: the head, or the checkpoint with an id.

use serde_json::json;

use super::step::{Step, find, fresh_thread, get, ns, pending, put_chain, values, write};
use checkpointer::{CheckpointAddress, CheckpointId, Checkpointer, GetTuple, Loaded, Projection};

/// A thread that doesn't exist has no checkpoint.
pub async fn nonexistent_returns_none(checkpointer: &dyn Checkpointer) {
    let head = GetTuple::head(fresh_thread()).unwrap();
    assert_eq!(find(checkpointer, head).await, None);
}

/// Without an id the head is read.
pub async fn latest_when_no_checkpoint_id(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    let head = find(checkpointer, GetTuple::head(&thread_id).unwrap())
        .await
        .unwrap();
    assert_eq!(head.address, chain[2]);
    assert_eq!(values(&head), json!({ "n": 2 }));
}

/// With an id that checkpoint is read.
pub async fn specific_checkpoint_id(checkpointer: &dyn Checkpointer) {
    let chain = put_chain(checkpointer, &fresh_thread(), 3).await;
    let tuple = get(checkpointer, &chain[1]).await;
    assert_eq!(tuple.checkpoint.id, chain[1].checkpoint_id);
    assert_eq!(values(&tuple), json!({ "n": 1 }));
}

/// The tuple says where it is stored, as the put did.
pub async fn config_structure(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread()).in_ns("child");
    let address = step.put(checkpointer).await;
    let query = GetTuple::head(&address.thread_id)
        .unwrap()
        .in_ns(ns("child"));
    let tuple = find(checkpointer, query).await.unwrap();
    assert_eq!(tuple.address, address);
    assert!(tuple.address.generation.is_some());
}

/// The checkpoint has all its fields.
pub async fn checkpoint_fields(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread()).values(json!({ "a": 1 }));
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(tuple.checkpoint.to_json(), step.checkpoint.to_json());
    assert_eq!(tuple.checkpoint.loaded(), Loaded::All);
}

/// The tuple has the metadata.
pub async fn metadata(checkpointer: &dyn Checkpointer) {
    let step = Step::first(&fresh_thread()).metadata("step", 7);
    let tuple = get(checkpointer, &step.put(checkpointer).await).await;
    assert_eq!(tuple.metadata.step(), Some(7));
    assert_eq!(tuple.metadata.source(), Some("loop"));
}

/// The tuple names the parent, by which it is read.
pub async fn parent_address(checkpointer: &dyn Checkpointer) {
    let chain = put_chain(checkpointer, &fresh_thread(), 2).await;
    let tuple = get(checkpointer, &chain[1]).await;
    let parent = get(checkpointer, &tuple.parent_address.unwrap()).await;
    assert_eq!(parent.address, chain[0]);
    assert_eq!(parent.parent_address, None);
}

/// The tuple has the pending writes.
pub async fn pending_writes(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let address = Step::first(&thread_id).put(checkpointer).await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    let head = find(checkpointer, GetTuple::head(&thread_id).unwrap())
        .await
        .unwrap();
    assert_eq!(pending(&head), json!([["task", "a", 1]]));
}

/// Each namespace has a head of its own.
pub async fn respects_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    for name in ["", "child:1", "child:2"] {
        let step = Step::first(&thread_id).in_ns(name);
        step.values(json!({ "ns": name })).put(checkpointer).await;
    }
    for name in ["", "child:1", "child:2"] {
        let query = GetTuple::head(&thread_id).unwrap().in_ns(ns(name));
        let tuple = find(checkpointer, query).await.unwrap();
        assert_eq!(values(&tuple), json!({ "ns": name }));
    }
}

/// An id that isn't stored is none, nor is one of another namespace.
pub async fn nonexistent_checkpoint_id(checkpointer: &dyn Checkpointer) {
    let address = Step::first(&fresh_thread()).put(checkpointer).await;
    let missing = address.sibling(CheckpointId::generate(None));
    assert_eq!(find(checkpointer, GetTuple::at(&missing)).await, None);
    let elsewhere = address.in_ns(ns("child"));
    assert_eq!(find(checkpointer, GetTuple::at(&elsewhere)).await, None);
}

async fn rich(checkpointer: &dyn Checkpointer) -> CheckpointAddress {
    let first = Step::first(&fresh_thread()).put(checkpointer).await;
    let step = Step::after(&first).values(json!({ "a": 1, "b": [2], "c": "3" }));
    let address = step.metadata("mine", true).put(checkpointer).await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    address
}

/// A projection to metadata reads ids, metadata, formats and times, and says so.
pub async fn metadata_only(checkpointer: &dyn Checkpointer) {
    let address = rich(checkpointer).await;
    let whole = get(checkpointer, &address).await;
    let query = GetTuple::at(&address).project(Projection::Metadata);
    let tuple = find(checkpointer, query).await.unwrap();
    assert_eq!(tuple.address, address);
    assert_eq!(tuple.parent_address, whole.parent_address);
    assert_eq!(tuple.metadata, whole.metadata);
    assert_eq!(tuple.checkpoint.id, address.checkpoint_id);
    assert_eq!(tuple.checkpoint.loaded(), Loaded::Nothing);
    assert_eq!(tuple.checkpoint.ts, whole.checkpoint.ts);
    assert_eq!(tuple.checkpoint.v, whole.checkpoint.v);
    assert_eq!(values(&tuple), json!({}));
    assert_eq!(pending(&tuple), json!([]));
}

/// A projection to channels reads those that exist, and says so.
pub async fn some_channels(checkpointer: &dyn Checkpointer) {
    let address = rich(checkpointer).await;
    let whole = get(checkpointer, &address).await;
    for (channels, expected) in [
        (vec!["b", "missing", "a"], json!({ "a": 1, "b": [2] })),
        (vec![], json!({})),
    ] {
        let channels = channels.into_iter().map(str::to_owned).collect();
        let query = GetTuple::at(&address).project(Projection::Channels(channels));
        let tuple = find(checkpointer, query).await.unwrap();
        assert_eq!(values(&tuple), expected);
        assert_eq!(tuple.checkpoint.loaded(), Loaded::SomeChannels);
        assert_eq!(tuple.metadata, whole.metadata);
        let versions = &tuple.checkpoint.channel_versions;
        assert_eq!(versions, &whole.checkpoint.channel_versions);
        assert_eq!(pending(&tuple), json!([]));
    }
}
