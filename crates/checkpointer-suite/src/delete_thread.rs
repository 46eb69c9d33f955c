//! `delete_thread`: a thread with everything in it.

use serde_json::json;

use super::step::{
    Step, delete, find, fresh_thread, get, head, ids, ns, pending, put_chain, write,
};
use checkpointer::{Checkpointer, GetTuple};

/// The checkpoints are gone.
pub async fn removes_checkpoints(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    delete(checkpointer, &thread_id).await;
    assert_eq!(head(checkpointer, &thread_id).await, None);
    assert_eq!(ids(checkpointer, &thread_id).await, []);
    assert_eq!(find(checkpointer, GetTuple::at(&chain[0])).await, None);
}

/// The writes are gone: the same checkpoint put again has none.
pub async fn removes_writes(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let step = Step::first(&thread_id);
    let address = step.put(checkpointer).await;
    write(checkpointer, &address, "task", json!([["a", 1]])).await;
    delete(checkpointer, &thread_id).await;
    let address = step.put(checkpointer).await;
    let tuple = get(checkpointer, &address).await;
    assert_eq!(pending(&tuple), json!([]));
}

/// All namespaces are gone.
pub async fn removes_all_namespaces(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    for name in ["", "child:1", "child:2"] {
        Step::first(&thread_id).in_ns(name).put(checkpointer).await;
    }
    delete(checkpointer, &thread_id).await;
    for name in ["", "child:1", "child:2"] {
        let query = GetTuple::head(&thread_id).unwrap().in_ns(ns(name));
        assert_eq!(find(checkpointer, query).await, None);
    }
}

/// Other threads stay.
pub async fn preserves_other_threads(checkpointer: &dyn Checkpointer) {
    let (mine, other) = (fresh_thread(), fresh_thread());
    put_chain(checkpointer, &mine, 2).await;
    put_chain(checkpointer, &other, 2).await;
    delete(checkpointer, &mine).await;
    assert_eq!(ids(checkpointer, &other).await.len(), 2);
}

/// A thread that doesn't exist is passed over.
pub async fn nonexistent_noop(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    delete(checkpointer, &thread_id).await;
    assert_eq!(head(checkpointer, &thread_id).await, None);
}

/// Twice is once.
pub async fn twice(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    put_chain(checkpointer, &thread_id, 2).await;
    delete(checkpointer, &thread_id).await;
    delete(checkpointer, &thread_id).await;
    assert_eq!(head(checkpointer, &thread_id).await, None);
}
