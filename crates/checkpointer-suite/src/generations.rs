//! Deleted threads stay deleted until a first checkpoint starts them again.

use serde_json::{Map, json};

use super::step::{
    Step, delete, find, fresh_thread, fresh_word, get, head, ids, is_deleted, map, pending, prune,
    put_chain, try_write, values, write,
};
use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, Generation, GetTuple, List, ListThreads,
    ThreadId,
};

/// A thread that was deleted, and its former head.
async fn deleted(checkpointer: &dyn Checkpointer) -> (ThreadId, CheckpointAddress) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    delete(checkpointer, &thread_id).await;
    (thread_id, chain[1].clone())
}

/// A thread that was deleted and started again: its former head and its new first checkpoint.
async fn restarted(checkpointer: &dyn Checkpointer) -> (CheckpointAddress, CheckpointAddress) {
    let (thread_id, old) = deleted(checkpointer).await;
    let new = Step::first(&thread_id).values(json!({ "new": 1 }));
    (old, new.put(checkpointer).await)
}

fn without_generation(address: &CheckpointAddress) -> CheckpointAddress {
    let thread_id = address.thread_id.clone();
    let config_id = address.checkpoint_id.clone();
    CheckpointAddress::new(thread_id, config_id)
        .unwrap()
        .in_ns(address.checkpoint_ns.clone())
}

/// On a deleted thread a put with a parent is refused, with and without a generation.
pub async fn late_put_is_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    let late = Step::after(&old);
    for late in [late.clone(), late.without_generation()] {
        let late = late.try_put(checkpointer).await;
        assert!(is_deleted(&late), "{late:?}");
    }
    assert_eq!(head(checkpointer, &thread_id).await, None);
}

/// On a deleted thread writes are refused.
pub async fn late_writes_are_refused(checkpointer: &dyn Checkpointer) {
    let (_, old) = deleted(checkpointer).await;
    for address in [old.clone(), without_generation(&old)] {
        let late = try_write(checkpointer, &address, "task", "", json!([["a", 1]])).await;
        assert!(is_deleted(&late), "{late:?}");
    }
}

/// On a deleted thread a subgraph's first checkpoint is refused.
pub async fn late_subgraph_is_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, _) = deleted(checkpointer).await;
    let late = Step::first(&thread_id).in_ns("child:1");
    let late = late.try_put(checkpointer).await;
    assert!(is_deleted(&late), "{late:?}");
}

/// On a deleted thread a first checkpoint that names the former generation is refused.
pub async fn late_first_put_is_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    let late = Step::after(&old).without_parent();
    let late = late.try_put(checkpointer).await;
    assert!(is_deleted(&late), "{late:?}");
    assert_eq!(head(checkpointer, &thread_id).await, None);
}

/// A put that expects a head never brings a deleted thread back.
pub async fn guarded_put_is_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    for late in [
        Step::after(&old),
        Step::first(&thread_id),
        Step::after(&old).without_generation(),
    ] {
        let late = late.expect_head(&old).try_put(checkpointer).await;
        assert!(late.is_err(), "{late:?}");
    }
    assert_eq!(head(checkpointer, &thread_id).await, None);
}

/// On a deleted thread metadata is refused.
pub async fn late_metadata_is_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, _) = deleted(checkpointer).await;
    let late = checkpointer.set_thread_metadata(&thread_id, Map::new());
    let late = late.await;
    assert!(is_deleted(&late), "{late:?}");
}

/// A deleted thread can't be copied, and nothing is copied onto it.
pub async fn copies_are_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, _) = deleted(checkpointer).await;
    let other = fresh_thread();
    let copied = checkpointer.copy_thread(&thread_id, &other).await;
    assert!(copied.is_err());
    put_chain(checkpointer, &other, 1).await;
    let copied = checkpointer.copy_thread(&other, &thread_id).await;
    assert!(is_deleted(&copied), "{copied:?}");
}

/// Pruning passes over a deleted thread.
pub async fn pruning_passes_over(checkpointer: &dyn Checkpointer) {
    let (thread_id, _) = deleted(checkpointer).await;
    prune(checkpointer, &thread_id).await;
    assert_eq!(ids(checkpointer, &thread_id).await, []);
}

/// A first checkpoint starts the thread again, in the next generation.
pub async fn first_put_starts_afresh(checkpointer: &dyn Checkpointer) {
    let (old, new) = restarted(checkpointer).await;
    assert_eq!(old.generation, Some(Generation(1)));
    assert_eq!(new.generation, Some(Generation(2)));
    let tuple = get(checkpointer, &new).await;
    assert_eq!(tuple.address, new);
    assert_eq!(values(&tuple), json!({ "new": 1 }));
    assert_eq!(find(checkpointer, GetTuple::at(&old)).await, None);
    let ids = ids(checkpointer, &new.thread_id).await;
    assert_eq!(ids, [new.checkpoint_id]);
}

/// A first checkpoint that expects no head starts the thread again as well.
pub async fn guarded_first_put_starts_afresh(checkpointer: &dyn Checkpointer) {
    let (thread_id, _) = deleted(checkpointer).await;
    let first = Step::first(&thread_id).expect_no_head();
    let address = first.put(checkpointer).await;
    assert_eq!(first.put(checkpointer).await, address);
    assert_eq!(address.generation, Some(Generation(2)));
}

/// What is read and listed carries the generation.
pub async fn answers_carry_it(checkpointer: &dyn Checkpointer) {
    let (_, new) = restarted(checkpointer).await;
    let second = Step::after(&new).put(checkpointer).await;
    let tuple = get(checkpointer, &second).await;
    assert_eq!(tuple.parent_address.unwrap().generation, new.generation);
    for tuple in super::step::list(checkpointer, List::thread(&new.thread_id).unwrap()).await {
        assert_eq!(tuple.address.generation, Some(Generation(2)));
    }
}

/// Each deletion begins another generation; what the one before kept is gone.
pub async fn each_deletion_counts(checkpointer: &dyn Checkpointer) {
    let (_, new) = restarted(checkpointer).await;
    delete(checkpointer, &new.thread_id).await;
    delete(checkpointer, &new.thread_id).await;
    let newer = Step::first(&new.thread_id).put(checkpointer).await;
    assert_eq!(newer.generation, Some(Generation(3)));
}

/// A call that brings along the former generation is refused after the restart.
pub async fn former_generation_is_refused(checkpointer: &dyn Checkpointer) {
    let (old, new) = restarted(checkpointer).await;
    let put = Step::after(&old).try_put(checkpointer).await;
    assert!(is_deleted(&put), "{put:?}");
    let written = try_write(checkpointer, &old, "task", "", json!([["a", 1]])).await;
    assert!(is_deleted(&written), "{written:?}");
    // Even on a checkpoint of the new one.
    let mut mixed = new.clone();
    mixed.generation = old.generation;
    let put = Step::after(&mixed).try_put(checkpointer).await;
    assert!(is_deleted(&put), "{put:?}");
    let head = head(checkpointer, &new.thread_id).await;
    assert_eq!(head, Some(new.checkpoint_id));
}

/// A deletion of the former generation leaves the new one.
pub async fn former_generation_is_not_deleted_again(checkpointer: &dyn Checkpointer) {
    let (old, new) = restarted(checkpointer).await;
    let delete = DeleteThread::new(&new.thread_id).unwrap();
    let delete = delete.generation(old.generation.unwrap());
    let late = checkpointer.delete_thread(delete).await;
    assert!(is_deleted(&late), "{late:?}");
    assert_eq!(ids(checkpointer, &new.thread_id).await.len(), 1);
    let delete = DeleteThread::new(&new.thread_id).unwrap();
    let delete = delete.generation(new.generation.unwrap());
    checkpointer.delete_thread(delete).await.unwrap();
    assert_eq!(ids(checkpointer, &new.thread_id).await, []);
}

/// After a restart a put that names no generation needs its parent.
pub async fn unnamed_put_needs_its_parent(checkpointer: &dyn Checkpointer) {
    let (old, new) = restarted(checkpointer).await;
    let late = Step::after(&old).without_generation();
    let late = late.try_put(checkpointer).await;
    assert!(is_deleted(&late), "{late:?}");
    let next = Step::after(&new).without_generation();
    let address = next.put(checkpointer).await;
    assert_eq!(address.generation, Some(Generation(2)));
    next.put(checkpointer).await;
}

/// So does one whose channels may be empty: that its parent isn't there shows that it is late.
pub async fn unnamed_put_needs_its_parent_whatever_it_keeps(checkpointer: &dyn Checkpointer) {
    let (old, new) = restarted(checkpointer).await;
    let late = Step::after(&old)
        .without_generation()
        .versions(json!({ "n": 1 }))
        .empty_without_its_parent();
    let late = late.try_put(checkpointer).await;
    assert!(is_deleted(&late), "{late:?}");
    assert_eq!(ids(checkpointer, &new.thread_id).await.len(), 1);
}

/// After a restart a subgraph's first put that names no generation needs its root checkpoint.
pub async fn unnamed_subgraph_put_needs_its_root(checkpointer: &dyn Checkpointer) {
    let (old, new) = restarted(checkpointer).await;
    let child = Step::first(&new.thread_id).in_ns("child:1");
    let late = child.try_put(checkpointer).await;
    assert!(is_deleted(&late), "{late:?}");
    for (root, is_new) in [(&old, false), (&new, true)] {
        let parents = json!({ "": root.checkpoint_id.as_str() });
        let put = child.clone().metadata("parents", parents);
        let put = put.try_put(checkpointer).await;
        assert_eq!(put.is_ok(), is_new, "{put:?}");
        assert_eq!(is_deleted(&put), !is_new, "{put:?}");
    }
}

/// After a restart writes that name no generation stay invisible until their checkpoint comes.
pub async fn unnamed_writes_wait_for_their_checkpoint(checkpointer: &dyn Checkpointer) {
    let (_, new) = restarted(checkpointer).await;
    let next = Step::after(&new).without_generation();
    let address = without_generation(&new).sibling(next.checkpoint.id.clone());
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    assert_eq!(find(checkpointer, GetTuple::at(&address)).await, None);
    let tuple = get(checkpointer, &new).await;
    assert_eq!(pending(&tuple), json!([]));
    next.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([["task", "a", 1]]));
}

/// Writes of a former life never show: neither on a checkpoint that was deleted, nor, once the put
/// they wait for is refused, on one of that id.
pub async fn late_unnamed_writes_never_show(checkpointer: &dyn Checkpointer) {
    let (old, new) = restarted(checkpointer).await;
    let late = Step::after(&old).without_generation();
    let address = without_generation(&old).sibling(late.checkpoint.id.clone());
    write(
        checkpointer,
        &without_generation(&old),
        "task",
        json!([["a", 1]]),
    )
    .await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    assert_eq!(find(checkpointer, GetTuple::at(&old)).await, None);
    let refusal = late.try_put(checkpointer).await;
    assert!(is_deleted(&refusal), "{refusal:?}");
    let same_id = Step::after(&new).id(address.checkpoint_id.as_str());
    let same_id = same_id.put(checkpointer).await;
    let tuple = get(checkpointer, &same_id).await;
    assert_eq!(pending(&tuple), json!([]));
}

/// A deleted thread keeps no metadata: neither found, nor there after the restart.
pub async fn metadata_is_gone(checkpointer: &dyn Checkpointer) {
    use futures_util::TryStreamExt;

    let (thread_id, word) = (fresh_thread(), fresh_word());
    put_chain(checkpointer, &thread_id, 1).await;
    let metadata = map(json!({ "word": word }));
    let set = checkpointer.set_thread_metadata(&thread_id, metadata.clone());
    set.await.unwrap();
    delete(checkpointer, &thread_id).await;
    Step::first(&thread_id).put(checkpointer).await;
    let found = checkpointer.threads(ListThreads::all().filter(metadata));
    let found: Vec<_> = found.try_collect().await.unwrap();
    assert_eq!(found, []);
}
