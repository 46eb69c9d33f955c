//! Guarded puts: of two writers that expect the same head, at most one succeeds.

use serde_json::json;

use super::step::{
    Step, find, fresh_thread, get, head, ids, ns, pending, put_chain, values, write,
};
use checkpointer::{CheckpointAddress, Checkpointer, Error, GetTuple, Result};

/// The head that a conflict was lost to.
#[track_caller]
fn lost_to(result: Result<CheckpointAddress>) -> Option<checkpointer::CheckpointId> {
    match result {
        Err(Error::Conflict { head, .. }) => head,
        other => panic!("no conflict: {other:?}"),
    }
}

/// A first put may expect that there is no head.
pub async fn expects_no_head(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).expect_no_head();
    let first = first.put(checkpointer).await;
    let second = Step::first(&thread_id).expect_no_head();
    let second = second.try_put(checkpointer).await;
    assert_eq!(lost_to(second), Some(first.checkpoint_id));
}

/// A put that expects the head succeeds.
pub async fn expects_the_head(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).put(checkpointer).await;
    let second = Step::after(&first).expect_head(&first);
    let second = second.put(checkpointer).await;
    let head = head(checkpointer, &thread_id).await;
    assert_eq!(head, Some(second.checkpoint_id));
}

/// A conflict says what was expected and what is there.
pub async fn conflict_carries_the_head(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    let late = Step::after(&chain[0]).expect_head(&chain[0]);
    match late.try_put(checkpointer).await {
        Err(Error::Conflict {
            thread_id: of,
            expected,
            head,
            ..
        }) => {
            assert_eq!(of, thread_id);
            assert_eq!(expected.as_ref(), Some(&chain[0].checkpoint_id));
            assert_eq!(head.as_ref(), Some(&chain[1].checkpoint_id));
        }
        other => panic!("no conflict: {other:?}"),
    }
}

/// A conflict stores nothing.
pub async fn conflict_stores_nothing(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    let late = Step::after(&chain[0]).expect_head(&chain[0]);
    lost_to(late.try_put(checkpointer).await);
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 2);
    let head = head(checkpointer, &thread_id).await;
    assert_eq!(head.as_ref(), Some(&chain[1].checkpoint_id));
}

/// A put that expects a head in a thread that doesn't exist doesn't make the thread.
pub async fn conflict_makes_no_thread(checkpointer: &dyn Checkpointer) {
    let (thread_id, other) = (fresh_thread(), fresh_thread());
    let elsewhere = Step::first(&other).put(checkpointer).await;
    let put = Step::first(&thread_id).expect_head(&elsewhere);
    assert_eq!(lost_to(put.try_put(checkpointer).await), None);
    let set = checkpointer.set_thread_metadata(&thread_id, Default::default());
    let set = set.await;
    assert!(matches!(set, Err(Error::ThreadNotFound { .. })), "{set:?}");
}

/// The head is something else than the parent: a fork expects the newest checkpoint.
pub async fn fork_expects_the_newest(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    let fork = Step::after(&chain[0]).expect_head(&chain[2]);
    let fork = fork.put(checkpointer).await;
    let head = find(checkpointer, GetTuple::head(&thread_id).unwrap())
        .await
        .unwrap();
    assert_eq!(head.address, fork);
    assert_eq!(head.parent_address.as_ref(), Some(&chain[0]));
}

/// A guarded put again, after an unknown outcome, is what it was.
pub async fn again(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).expect_no_head();
    let address = first.put(checkpointer).await;
    assert_eq!(first.put(checkpointer).await, address);
    let second = Step::after(&address).expect_head(&address);
    second.put(checkpointer).await;
    second.put(checkpointer).await;
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 2);
}

/// A guarded put again succeeds even if another put has moved the head since, and leaves it there.
pub async fn again_after_the_head_moved_on(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 1).await;
    let mine = Step::after(&chain[0])
        .values(json!({ "mine": 1 }))
        .expect_head(&chain[0]);
    let address = mine.put(checkpointer).await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    let theirs = Step::after(&address).put(checkpointer).await;
    assert_eq!(mine.put(checkpointer).await, address);
    let head = head(checkpointer, &thread_id).await;
    assert_eq!(head, Some(theirs.checkpoint_id));
    let tuple = get(checkpointer, &address).await;
    assert_eq!(values(&tuple), json!({ "mine": 1 }));
    assert_eq!(pending(&tuple), json!([["task", "a", 1]]));
}

/// An id that is stored under another parent is no earlier attempt.
pub async fn stored_under_another_parent(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    let twin = Step::after(&chain[0])
        .id(chain[2].checkpoint_id.as_str())
        .expect_head(&chain[0]);
    let head = lost_to(twin.try_put(checkpointer).await);
    assert_eq!(head.as_ref(), Some(&chain[2].checkpoint_id));
}

/// Each namespace has a head of its own to expect.
pub async fn per_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let root = Step::first(&thread_id).put(checkpointer).await;
    let child = Step::first(&thread_id).in_ns("child").expect_no_head();
    let child = child.put(checkpointer).await;
    let wrong = Step::after(&child).expect_head(&root);
    let head = lost_to(wrong.try_put(checkpointer).await);
    assert_eq!(head, Some(child.checkpoint_id.clone()));
    let right = Step::after(&root).expect_head(&root);
    right.put(checkpointer).await;
    let query = GetTuple::head(&thread_id).unwrap().in_ns(ns("child"));
    let in_child = find(checkpointer, query).await.unwrap();
    assert_eq!(in_child.address, child);
}

/// Of many at once that expect the same head one succeeds.
pub async fn one_of_many(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).put(checkpointer).await;
    let puts = (0..8).map(|_| {
        let put = Step::after(&first).expect_head(&first);
        async move { put.try_put(checkpointer).await }
    });
    let (won, lost): (Vec<_>, Vec<_>) = futures_util::future::join_all(puts)
        .await
        .into_iter()
        .partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    let winner = won.into_iter().flatten().next();
    let winner = winner.map(|address| address.checkpoint_id);
    for lost in lost {
        assert_eq!(lost_to(lost), winner);
    }
    assert_eq!(head(checkpointer, &thread_id).await, winner);
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 2);
}

/// Of many at once that start a thread one succeeds.
pub async fn one_first_of_many(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let puts = (0..8).map(|_| {
        let put = Step::first(&thread_id).expect_no_head();
        async move { put.try_put(checkpointer).await }
    });
    let puts = futures_util::future::join_all(puts).await;
    let won = puts.iter().filter(|put| put.is_ok()).count();
    assert_eq!(won, 1, "{puts:?}");
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 1);
}
