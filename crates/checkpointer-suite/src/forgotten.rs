//! Deleted threads that are forgotten: whatever comes first starts them again.
//!
//! The group isn't among those of every checkpointer: name it for one that was made with
//! [`DeletedThreads::Forgotten`](checkpointer::DeletedThreads::Forgotten).

use serde_json::json;

use super::step::{
    Step, delete, find, fresh_thread, get, head, ids, is_deleted, pending, put_chain, try_write,
    values, write,
};
use checkpointer::{CheckpointAddress, Checkpointer, Error, Generation, GetTuple, ThreadId};

/// A thread that was deleted, and its former head without a generation.
async fn deleted(checkpointer: &dyn Checkpointer) -> (ThreadId, CheckpointAddress) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    delete(checkpointer, &thread_id).await;
    let mut head = chain[1].clone();
    head.generation = None;
    (thread_id, head)
}

/// A put with a parent starts the thread again, and finds its parent gone.
pub async fn a_put_starts_it(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    let put = Step::after(&old).values(json!({ "a": 1 }));
    let address = put.put(checkpointer).await;
    assert_eq!(address.generation, Some(Generation(2)));
    let tuple = get(checkpointer, &address).await;
    assert_eq!(values(&tuple), json!({ "a": 1 }));
    assert_eq!(find(checkpointer, GetTuple::at(&old)).await, None);
    assert_eq!(
        head(checkpointer, &thread_id).await,
        Some(address.checkpoint_id)
    );
}

/// A put that keeps values of a parent that was deleted is refused, and starts nothing.
pub async fn a_put_without_its_values_is_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    let put = Step::after(&old).versions(json!({ "a": 1 }));
    let refused = put.try_put(checkpointer).await;
    assert!(
        matches!(refused, Err(Error::ParentNotFound { .. })),
        "{refused:?}"
    );
    assert_eq!(ids(checkpointer, &thread_id).await, []);
}

/// Or else it starts the thread with empty channels, if it asks for that.
pub async fn a_put_with_empty_channels_starts_it(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    let put = Step::after(&old)
        .versions(json!({ "n": 1 }))
        .empty_without_its_parent();
    let address = put.put(checkpointer).await;
    assert_eq!(values(&get(checkpointer, &address).await), json!({}));
    assert_eq!(
        head(checkpointer, &thread_id).await,
        Some(address.checkpoint_id)
    );
}

/// Pending writes start the thread again, and wait for their checkpoint.
pub async fn writes_start_it(checkpointer: &dyn Checkpointer) {
    let (thread_id, _) = deleted(checkpointer).await;
    let first = Step::first(&thread_id);
    write(checkpointer, &first.address(), "task", json!([["a", 1]])).await;
    assert_eq!(head(checkpointer, &thread_id).await, None);
    let address = first.put(checkpointer).await;
    assert_eq!(
        pending(&get(checkpointer, &address).await),
        json!([["task", "a", 1]])
    );
}

/// A subgraph's checkpoint starts the thread again, before its root's and whatever it names as that.
pub async fn a_subgraph_starts_it(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    let root = Step::first(&thread_id);
    let parents = json!({ "": root.checkpoint.id.as_str() });
    let child = Step::first(&thread_id)
        .in_ns("child:1")
        .metadata("parents", parents);
    let (child, root) = (child.put(checkpointer).await, root.put(checkpointer).await);
    let other = Step::first(&thread_id).in_ns("child:2");
    let parents = json!({ "": old.checkpoint_id.as_str() });
    let other = other.metadata("parents", parents).put(checkpointer).await;
    for address in [child, root, other] {
        get(checkpointer, &address).await;
    }
}

/// After a restart a put needs no parent either.
pub async fn a_late_put_is_stored_after_a_restart(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    Step::first(&thread_id).put(checkpointer).await;
    let late = Step::after(&old).put(checkpointer).await;
    assert_eq!(
        head(checkpointer, &thread_id).await,
        Some(late.checkpoint_id)
    );
}

/// Each deletion begins another generation, and one that was named is refused.
pub async fn a_named_generation_is_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, mut old) = deleted(checkpointer).await;
    old.generation = Some(Generation(1));
    for _ in 0..2 {
        let put = Step::after(&old).try_put(checkpointer).await;
        assert!(is_deleted(&put), "{put:?}");
        let written = try_write(checkpointer, &old, "task", "", json!([["a", 1]])).await;
        assert!(is_deleted(&written), "{written:?}");
        Step::first(&thread_id).put(checkpointer).await;
    }
}

/// A put that expects a head never brings a deleted thread back.
pub async fn a_guarded_put_is_refused(checkpointer: &dyn Checkpointer) {
    let (thread_id, old) = deleted(checkpointer).await;
    let late = Step::after(&old).expect_head(&old);
    assert!(late.try_put(checkpointer).await.is_err());
    assert_eq!(ids(checkpointer, &thread_id).await, []);
}
