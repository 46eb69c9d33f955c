//! `copy_thread`: a thread with all its checkpoints and writes.

use serde_json::json;

use super::step::{
    Step, delete, find, fresh_thread, get, head, ids, list, ns, prune, put_chain, write,
};
use checkpointer::{CheckpointAddress, Checkpointer, Error, GetTuple, List, ThreadId};

/// Puts a thread and its copy; returns the target and the chain of the source.
async fn copied(checkpointer: &dyn Checkpointer) -> (ThreadId, Vec<CheckpointAddress>) {
    let (source, target) = (fresh_thread(), fresh_thread());
    let chain = put_chain(checkpointer, &source, 3).await;
    write(checkpointer, &chain[1], "task", json!([["a", 1]])).await;
    checkpointer.copy_thread(&source, &target).await.unwrap();
    (target, chain)
}

/// The checkpoints are there.
pub async fn basic(checkpointer: &dyn Checkpointer) {
    let (target, _) = copied(checkpointer).await;
    assert_eq!(ids(checkpointer, &target).await.len(), 3);
}

/// All checkpoints have their content, their ids and their parents.
pub async fn all_checkpoints(checkpointer: &dyn Checkpointer) {
    let (target, chain) = copied(checkpointer).await;
    let copies = list(checkpointer, List::thread(&target).unwrap()).await;
    for (copy, original) in copies.iter().rev().zip(&chain) {
        let original = get(checkpointer, original).await;
        assert_eq!(copy.address.thread_id, target);
        assert_eq!(copy.checkpoint, original.checkpoint);
        let parent = original.parent_address.map(|parent| parent.checkpoint_id);
        let of_copy = copy.parent_address.clone();
        assert_eq!(of_copy.map(|parent| parent.checkpoint_id), parent);
    }
}

/// The metadata is the same.
pub async fn preserves_metadata(checkpointer: &dyn Checkpointer) {
    let (target, chain) = copied(checkpointer).await;
    let copies = list(checkpointer, List::thread(&target).unwrap()).await;
    for (copy, original) in copies.iter().rev().zip(&chain) {
        let original = get(checkpointer, original).await;
        assert_eq!(copy.metadata, original.metadata);
    }
}

/// All namespaces are there.
pub async fn preserves_namespaces(checkpointer: &dyn Checkpointer) {
    let (source, target) = (fresh_thread(), fresh_thread());
    for name in ["", "child:1"] {
        Step::first(&source).in_ns(name).put(checkpointer).await;
    }
    checkpointer.copy_thread(&source, &target).await.unwrap();
    for name in ["", "child:1"] {
        let query = GetTuple::head(&target).unwrap().in_ns(ns(name));
        let copy = find(checkpointer, query).await;
        assert!(copy.is_some(), "namespace `{name}` wasn't copied");
    }
}

/// The writes are there.
pub async fn preserves_writes(checkpointer: &dyn Checkpointer) {
    let (target, chain) = copied(checkpointer).await;
    let copies = list(checkpointer, List::thread(&target).unwrap()).await;
    let original = get(checkpointer, &chain[1]).await;
    assert_eq!(copies[1].pending_writes, original.pending_writes);
    assert_eq!(copies[1].pending_writes.len(), 1);
}

/// The order is the same, and the head is the one put last, whatever its id.
pub async fn preserves_ordering(checkpointer: &dyn Checkpointer) {
    let (source, target) = (fresh_thread(), fresh_thread());
    let first = Step::first(&source).id("z").put(checkpointer).await;
    Step::after(&first).id("a").put(checkpointer).await;
    checkpointer.copy_thread(&source, &target).await.unwrap();
    let of_source = ids(checkpointer, &source).await;
    assert_eq!(ids(checkpointer, &target).await, of_source);
    let head_of_target = head(checkpointer, &target).await;
    assert_eq!(head_of_target, head(checkpointer, &source).await);
}

/// The source stays as it was, and later changes to either don't touch the other.
pub async fn source_unchanged(checkpointer: &dyn Checkpointer) {
    let (target, chain) = copied(checkpointer).await;
    let source = &chain[0].thread_id;
    assert_eq!(ids(checkpointer, source).await.len(), 3);
    let copy = find(checkpointer, GetTuple::head(&target).unwrap())
        .await
        .unwrap();
    let next = Step::after(&copy.address).values(json!({ "n": "next" }));
    next.put(checkpointer).await;
    write(checkpointer, &copy.address, "task", json!([["a", 1]])).await;
    prune(checkpointer, &target).await;
    assert_eq!(ids(checkpointer, &target).await.len(), 1);
    assert_eq!(ids(checkpointer, source).await.len(), 3);
    let head = get(checkpointer, &chain[2]).await;
    assert_eq!(head.pending_writes, []);
}

/// A source that doesn't exist, or was deleted, is an error, also onto itself.
pub async fn nonexistent_source(checkpointer: &dyn Checkpointer) {
    let (none, deleted) = (fresh_thread(), fresh_thread());
    put_chain(checkpointer, &deleted, 1).await;
    delete(checkpointer, &deleted).await;
    for source in [none, deleted] {
        for target in [&fresh_thread(), &source] {
            let copied = checkpointer.copy_thread(&source, target).await;
            let Err(Error::ThreadNotFound { thread_id, .. }) = copied else {
                panic!("{copied:?}")
            };
            assert_eq!(thread_id, source);
        }
    }
}

/// Onto itself a thread isn't copied.
pub async fn onto_itself_noop(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_chain(checkpointer, &thread_id, 2).await;
    let copied = checkpointer.copy_thread(&thread_id, &thread_id).await;
    copied.unwrap();
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 2);
}

/// Onto a thread that exists nothing is copied.
pub async fn onto_an_existing_one(checkpointer: &dyn Checkpointer) {
    let (source, target) = (fresh_thread(), fresh_thread());
    put_chain(checkpointer, &source, 2).await;
    put_chain(checkpointer, &target, 1).await;
    let copied = checkpointer.copy_thread(&source, &target).await;
    let Err(Error::ThreadExists { thread_id, .. }) = copied else {
        panic!("{copied:?}")
    };
    assert_eq!(thread_id, target);
    assert_eq!(ids(checkpointer, &target).await.len(), 1);
}

/// A copy goes on by itself: guarded puts, inherited values.
pub async fn goes_on(checkpointer: &dyn Checkpointer) {
    let (source, target) = (fresh_thread(), fresh_thread());
    let first = Step::first(&source)
        .values(json!({ "a": [1], "b": 1 }))
        .versions(json!({ "a": 1, "b": 1 }))
        .put(checkpointer)
        .await;
    checkpointer.copy_thread(&source, &target).await.unwrap();
    let copy = find(checkpointer, GetTuple::head(&target).unwrap())
        .await
        .unwrap();
    let next = Step::after(&copy.address)
        .values(json!({ "b": 2 }))
        .versions(json!({ "a": 1, "b": 2 }))
        .changed(["b"])
        .expect_head(&first)
        .put(checkpointer)
        .await;
    let next = get(checkpointer, &next).await;
    assert_eq!(next.checkpoint.channel_values["a"], json!([1]));
}

/// A target that exists is named first, whether there is a source or not.
pub async fn target_exists_without_a_source(checkpointer: &dyn Checkpointer) {
    let target = fresh_thread();
    Step::first(&target).put(checkpointer).await;
    let copied = checkpointer.copy_thread(&fresh_thread(), &target).await;
    assert!(
        matches!(copied, Err(Error::ThreadExists { .. })),
        "{copied:?}"
    );
}
