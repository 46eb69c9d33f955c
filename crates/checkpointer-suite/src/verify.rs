//! `verify`.

use futures_util::TryStreamExt;
use serde_json::{Value, json};

use super::step::{Step, delete, fresh_thread, id, put_chain, write};
use checkpointer::{Checkpointer, FindingKind, ThreadId, VerifiedThread, Verify};

async fn verify(checkpointer: &dyn Checkpointer, verify: Verify) -> Vec<VerifiedThread> {
    checkpointer.verify(verify).try_collect().await.unwrap()
}

async fn one(checkpointer: &dyn Checkpointer, thread_id: &ThreadId) -> VerifiedThread {
    let mut found = verify(checkpointer, Verify::thread(thread_id).unwrap()).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// An undamaged thread has no findings, and the answer counts everything in it.
pub async fn finds_nothing(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let messages: Vec<Value> = (0..500)
        .map(|n| json!({ "n": n, "text": format!("message {n}: {}", "x".repeat(100)) }))
        .collect();
    let state = |n: usize| json!({ "messages": messages[..n], "note": "y".repeat(5_000), "n": n });
    let first = Step::first(&thread_id).values(state(400));
    let first = first.put(checkpointer).await;
    let second = Step::after(&first).values(state(500));
    let second = second.put(checkpointer).await;
    let fork = Step::after(&first).values(state(300));
    fork.put(checkpointer).await;
    let sub = Step::first(&thread_id).in_ns("sub").values(state(2));
    sub.put(checkpointer).await;
    let outputs = json!([["messages", messages], ["n", 1]]);
    write(checkpointer, &second, "task", outputs).await;

    let found = one(checkpointer, &thread_id).await;
    assert_eq!(found.thread_id, thread_id);
    assert_eq!(found.findings, []);
    assert!(found.is_sound());
    assert_eq!((found.checkpoints, found.pending_writes), (4, 2));
}

/// An object whose keys have an order has no findings either.
pub async fn finds_nothing_in_orders_of_keys(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut last = None;
    for n in 0..3 {
        let keys = (0..300).rev().map(|key| format!("{key} of {n}"));
        let large: serde_json::Map<String, Value> = keys
            .map(|key| (key, json!({ "b": "x".repeat(40), "a": n })))
            .collect();
        let values = json!({ "large": large, "small": { "b": 1, "a": [{ "d": 1, "c": 2 }] } });
        let step = match &last {
            None => Step::first(&thread_id),
            Some(last) => Step::after(last),
        };
        last = Some(step.values(values).put(checkpointer).await);
    }
    assert_eq!(one(checkpointer, &thread_id).await.findings, []);
}

/// All threads are verified in the order of their ids, and a verification goes on where one stopped.
pub async fn goes_on(checkpointer: &dyn Checkpointer) {
    let mut made = [fresh_thread(), fresh_thread(), fresh_thread()];
    made.sort_unstable();
    for thread_id in &made {
        put_chain(checkpointer, thread_id, 2).await;
    }
    let ids = |found: Vec<VerifiedThread>| -> Vec<ThreadId> {
        let ids = found.into_iter().map(|found| found.thread_id);
        ids.filter(|found| made.contains(found)).collect()
    };
    assert_eq!(ids(verify(checkpointer, Verify::all()).await), made);
    let rest = Verify::all().after(made[0].clone());
    assert_eq!(ids(verify(checkpointer, rest).await), made[1..]);
}

/// A thread that isn't there, or isn't there any more, isn't verified.
pub async fn of_a_missing_thread(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let asked = Verify::thread(&thread_id).unwrap();
    assert_eq!(verify(checkpointer, asked.clone()).await, []);
    put_chain(checkpointer, &thread_id, 2).await;
    assert_eq!(one(checkpointer, &thread_id).await.checkpoints, 2);
    delete(checkpointer, &thread_id).await;
    assert_eq!(verify(checkpointer, asked).await, []);
}

/// A parent that isn't there is a finding, whether it was lost or never stored.
pub async fn finds_a_missing_parent(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let step = Step::first(&thread_id).id("2").parent(id("1"));
    let put = step.values(json!({ "a": 1 })).put(checkpointer).await;
    let found = one(checkpointer, &thread_id).await;
    assert!(!found.is_sound());
    let [finding] = &found.findings[..] else {
        panic!("{found:?}");
    };
    assert_eq!(finding.kind, FindingKind::ParentMissing);
    assert_eq!(finding.checkpoint_ns, Some(put.checkpoint_ns));
    assert_eq!(finding.checkpoint_id, Some(put.checkpoint_id));
    let what = "the parent of checkpoint `2`, checkpoint `1`, is missing";
    assert_eq!(finding.what, what);
}

/// A repair leaves a thread as it is that has no findings.
pub async fn repairs_nothing_without_a_finding(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    write(checkpointer, &chain[2], "task", json!([["a", 1]])).await;
    let before = checkpointer.thread_size(&thread_id).await.unwrap();
    let asked = Verify::thread(&thread_id).unwrap().repair(true);
    let found = verify(checkpointer, asked).await;
    assert!(found.iter().all(VerifiedThread::is_sound), "{found:?}");
    assert_eq!(checkpointer.thread_size(&thread_id).await.unwrap(), before);
}
