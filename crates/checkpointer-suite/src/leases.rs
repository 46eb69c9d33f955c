//! Leases: one writer at a time, and one that was fenced off stays out.
//!
//! No case waits: a lease that is to be over has lasted for no time at all.

use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::join_all;
use serde_json::{Map, json};

use super::step::{
    LONG, Step, acquire, delete, find, fresh_thread, fresh_word, get, head, ids, is_deleted,
    is_held, is_lost, map, pending, prune, put_chain, try_write, try_write_leased, values,
};
use checkpointer::{
    AcquireLease, CheckpointAddress, Checkpointer, DeleteThread, Error, Generation, GetTuple,
    Lease, ListThreads, Prune, PruneStrategy, Removed, Result, ThreadId,
};

/// How long a lease lasts that is over at once.
const OVER: Duration = Duration::ZERO;

/// Stores a write of a task.
async fn write(
    checkpointer: &dyn Checkpointer,
    address: &CheckpointAddress,
    task: &str,
    lease: Option<&Lease>,
) -> Result<()> {
    try_write_leased(checkpointer, address, task, "", json!([["a", 1]]), lease).await
}

async fn delete_with(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
    lease: Option<&Lease>,
) -> Result<()> {
    let mut delete = DeleteThread::new(thread_id).unwrap();
    delete.lease = lease.cloned();
    checkpointer.delete_thread(delete).await
}

/// A thread with a checkpoint, and a lease on it.
async fn leased(checkpointer: &dyn Checkpointer, ttl: Duration) -> (CheckpointAddress, Lease) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 1).await;
    let lease = acquire(checkpointer, &thread_id, ttl).await;
    (chain[0].clone(), lease)
}

/// The holder of a lease puts, writes and deletes.
pub async fn holder_writes(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, LONG).await;
    let step = Step::after(&first).values(json!({ "n": 1 })).lease(&lease);
    let second = step.put(checkpointer).await;
    write(checkpointer, &second, "task", Some(&lease))
        .await
        .unwrap();
    let tuple = get(checkpointer, &second).await;
    assert_eq!(values(&tuple), json!({ "n": 1 }));
    assert_eq!(pending(&tuple), json!([["task", "a", 1]]));
    let deleted = delete_with(checkpointer, &first.thread_id, Some(&lease)).await;
    deleted.unwrap();
    assert_eq!(ids(checkpointer, &first.thread_id).await, []);
}

/// Without the lease no put, pending write or deletion is admitted, and nothing is changed.
pub async fn others_are_refused(checkpointer: &dyn Checkpointer) {
    let (first, _lease) = leased(checkpointer, LONG).await;
    let thread_id = &first.thread_id;
    let unnamed = Step::after(&first).without_generation();
    for step in [Step::after(&first), unnamed, Step::first(thread_id)] {
        let refusal = step.try_put(checkpointer).await;
        assert!(is_held(&refusal), "{refusal:?}");
    }
    let in_child = Step::first(thread_id).in_ns("child");
    let refusals = [
        write(checkpointer, &first, "task", None).await,
        in_child.try_put(checkpointer).await.map(drop),
        delete_with(checkpointer, thread_id, None).await,
        checkpointer
            .prune(Prune::new(vec![thread_id.clone()], PruneStrategy::Delete).unwrap())
            .await
            .and_then(Removed::complete),
    ];
    for refusal in refusals {
        assert!(is_held(&refusal), "{refusal:?}");
    }
    let listed = ids(checkpointer, thread_id).await;
    assert_eq!(
        listed.as_slice(),
        std::slice::from_ref(&first.checkpoint_id)
    );
    assert_eq!(pending(&get(checkpointer, &first).await), json!([]));
}

/// A lease that lasts can't be taken by another.
pub async fn one_at_a_time(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, LONG).await;
    let second = checkpointer.acquire_lease(AcquireLease::new(&first.thread_id, LONG).unwrap());
    let second = second.await;
    assert!(is_held(&second), "{second:?}");
    let step = Step::after(&first).lease(&lease);
    step.put(checkpointer).await;
}

/// Of many at once that want a lease one gets it.
pub async fn of_many_one_is_taken(checkpointer: &dyn Checkpointer) {
    for thread_id in [fresh_thread(), leased(checkpointer, OVER).await.0.thread_id] {
        let all = (0..8)
            .map(|_| checkpointer.acquire_lease(AcquireLease::new(&thread_id, LONG).unwrap()));
        let (taken, refused): (Vec<_>, Vec<_>) =
            join_all(all).await.into_iter().partition(Result::is_ok);
        assert_eq!(taken.len(), 1);
        assert!(refused.iter().all(is_held), "{refused:?}");
    }
}

/// A refusal says until when the lease lasts.
pub async fn names_its_end(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, LONG).await;
    match Step::after(&first).try_put(checkpointer).await {
        Err(Error::LeaseHeld {
            thread_id, until, ..
        }) => {
            assert_eq!(thread_id, first.thread_id);
            assert_eq!(until, lease.until);
        }
        other => panic!("not refused: {other:?}"),
    }
}

/// Everybody reads a leased thread.
pub async fn reading_is_free(checkpointer: &dyn Checkpointer) {
    let (first, _lease) = leased(checkpointer, LONG).await;
    assert_eq!(get(checkpointer, &first).await.address, first);
    assert_eq!(ids(checkpointer, &first.thread_id).await.len(), 1);
}

/// What works beside any writer isn't refused.
pub async fn upkeep_is_free(checkpointer: &dyn Checkpointer) {
    let (thread_id, run) = (fresh_thread(), fresh_word());
    let first = Step::first(&thread_id).put(checkpointer).await;
    let second = Step::after(&first).put(checkpointer).await;
    let lease = acquire(checkpointer, &thread_id, LONG).await;
    let of_run = Step::after(&second)
        .metadata("run_id", run.as_str())
        .lease(&lease);
    of_run.put(checkpointer).await;
    checkpointer
        .delete_for_runs(&[run])
        .await
        .and_then(Removed::complete)
        .unwrap();
    prune(checkpointer, &thread_id).await;
    let copied = checkpointer.copy_thread(&thread_id, &fresh_thread()).await;
    copied.unwrap();
    let set = checkpointer.set_thread_metadata(&thread_id, Map::new());
    set.await.unwrap();
    assert_eq!(ids(checkpointer, &thread_id).await, [second.checkpoint_id]);
}

/// Once its time is over, others write and take it.
pub async fn time_that_is_over_lets_others_in(checkpointer: &dyn Checkpointer) {
    let (first, _lease) = leased(checkpointer, OVER).await;
    let second = Step::after(&first).put(checkpointer).await;
    write(checkpointer, &second, "task", None).await.unwrap();
    let lease = acquire(checkpointer, &first.thread_id, LONG).await;
    let step = Step::after(&second).lease(&lease);
    step.put(checkpointer).await;
}

/// The time alone doesn't end a lease: its holder goes on until another takes it.
pub async fn time_that_is_over_refuses_nobody_else(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, OVER).await;
    let step = Step::after(&first).lease(&lease);
    let second = step.put(checkpointer).await;
    let written = write(checkpointer, &second, "task", Some(&lease)).await;
    written.unwrap();
}

/// A lease that another has taken refuses everything, for good, and nothing is changed.
pub async fn taken_by_another_is_lost(checkpointer: &dyn Checkpointer) {
    let (first, lost) = leased(checkpointer, OVER).await;
    let thread_id = &first.thread_id;
    let lease = acquire(checkpointer, thread_id, OVER).await;
    let refusals = [
        Step::after(&first)
            .lease(&lost)
            .try_put(checkpointer)
            .await
            .map(drop),
        Step::first(thread_id)
            .lease(&lost)
            .try_put(checkpointer)
            .await
            .map(drop),
        write(checkpointer, &first, "task", Some(&lost)).await,
        delete_with(checkpointer, thread_id, Some(&lost)).await,
        checkpointer.renew_lease(&lost, LONG).await.map(drop),
    ];
    for refusal in refusals {
        assert!(is_lost(&refusal), "{refusal:?}");
    }
    let listed = ids(checkpointer, thread_id).await;
    assert_eq!(
        listed.as_slice(),
        std::slice::from_ref(&first.checkpoint_id)
    );
    assert_eq!(pending(&get(checkpointer, &first).await), json!([]));
    let step = Step::after(&first).lease(&lease);
    step.put(checkpointer).await;
}

/// A renewed lease lasts longer, and is the one that writes under way carry.
pub async fn renewed_is_the_same(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, LONG).await;
    let renewed = checkpointer.renew_lease(&lease, 2 * LONG).await.unwrap();
    assert!(renewed.until > lease.until);
    let mut same = renewed.clone();
    same.until = lease.until;
    assert_eq!(same, lease);
    let second = Step::after(&first).lease(&lease).put(checkpointer).await;
    let step = Step::after(&second).lease(&renewed);
    step.put(checkpointer).await;
}

/// A lease whose time is over can be renewed while no other was taken.
pub async fn renewed_after_its_time(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, OVER).await;
    let between = Step::after(&first).put(checkpointer).await;
    checkpointer.renew_lease(&lease, LONG).await.unwrap();
    let refusal = Step::after(&between).try_put(checkpointer).await;
    assert!(is_held(&refusal), "{refusal:?}");
    let step = Step::after(&between).lease(&lease);
    step.put(checkpointer).await;
}

/// A lease that was given back keeps no writer out, and admits none.
pub async fn released_lets_others_in(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, LONG).await;
    checkpointer.release_lease(&lease).await.unwrap();
    let late = Step::after(&first).lease(&lease);
    let late = late.try_put(checkpointer).await;
    assert!(is_lost(&late), "{late:?}");
    let renewed = checkpointer.renew_lease(&lease, LONG).await;
    assert!(is_lost(&renewed), "{renewed:?}");
    Step::after(&first).put(checkpointer).await;
    checkpointer.release_lease(&lease).await.unwrap();
}

/// Giving a lost lease back does nothing to the one that took its place.
pub async fn lost_release_changes_nothing(checkpointer: &dyn Checkpointer) {
    let (first, lost) = leased(checkpointer, OVER).await;
    let _lease = acquire(checkpointer, &first.thread_id, LONG).await;
    checkpointer.release_lease(&lost).await.unwrap();
    let refusal = Step::after(&first).try_put(checkpointer).await;
    assert!(is_held(&refusal), "{refusal:?}");
}

/// A lease can be broken by a call that says so.
pub async fn force_breaks(checkpointer: &dyn Checkpointer) {
    let (first, broken) = leased(checkpointer, LONG).await;
    let breaking = AcquireLease::new(&first.thread_id, LONG).unwrap().force();
    let lease = checkpointer.acquire_lease(breaking).await.unwrap();
    let late = Step::after(&first).lease(&broken);
    let late = late.try_put(checkpointer).await;
    assert!(is_lost(&late), "{late:?}");
    let deleted = delete_with(checkpointer, &first.thread_id, Some(&lease)).await;
    deleted.unwrap();
}

/// A lease is good for its own thread only.
pub async fn of_another_thread_is_lost(checkpointer: &dyn Checkpointer) {
    let (_, lease) = leased(checkpointer, LONG).await;
    let other = put_chain(checkpointer, &fresh_thread(), 1).await;
    let missing = fresh_thread();
    for step in [Step::after(&other[0]), Step::first(&missing)] {
        let put = step.lease(&lease).try_put(checkpointer).await;
        assert!(is_lost(&put), "{put:?}");
    }
    assert_eq!(head(checkpointer, &missing).await, None);
}

/// Each lease has a greater number than those before, also once the thread was deleted.
pub async fn numbers_grow(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, OVER).await;
    let thread_id = &first.thread_id;
    let next = acquire(checkpointer, thread_id, OVER).await;
    assert!(next.number > lease.number);
    let renewed = checkpointer.renew_lease(&next, OVER).await.unwrap();
    assert_eq!(renewed.number, next.number);
    checkpointer.release_lease(&next).await.unwrap();
    delete(checkpointer, thread_id).await;
    let last = acquire(checkpointer, thread_id, OVER).await;
    assert!(last.number > next.number);
}

/// A lease on a thread that doesn't exist makes none.
pub async fn makes_no_thread(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    acquire(checkpointer, &thread_id, LONG).await;
    assert_eq!(
        find(checkpointer, GetTuple::head(&thread_id).unwrap()).await,
        None
    );
    let listed = checkpointer.threads(ListThreads::all());
    let listed: Vec<_> = listed.try_collect().await.unwrap();
    assert!(listed.iter().all(|thread| thread.thread_id != thread_id));
    let set = checkpointer.set_thread_metadata(&thread_id, Map::new());
    let set = set.await;
    assert!(matches!(set, Err(Error::ThreadNotFound { .. })), "{set:?}");
    let copied = checkpointer.copy_thread(&thread_id, &fresh_thread()).await;
    assert!(
        matches!(copied, Err(Error::ThreadNotFound { .. })),
        "{copied:?}"
    );
    delete(checkpointer, &thread_id).await;
    prune(checkpointer, &thread_id).await;
}

/// A lease on a thread that doesn't exist yet keeps others from making it; its holder does, by a
/// first checkpoint or by writes.
pub async fn keeps_a_place(checkpointer: &dyn Checkpointer) {
    for by_writes in [false, true] {
        let thread_id = fresh_thread();
        let lease = acquire(checkpointer, &thread_id, LONG).await;
        let first = Step::first(&thread_id);
        let address =
            CheckpointAddress::new(thread_id.clone(), first.checkpoint.id.clone()).unwrap();
        let refusals = [
            first.try_put(checkpointer).await.map(drop),
            write(checkpointer, &address, "task", None).await,
        ];
        for refusal in refusals {
            assert!(is_held(&refusal), "{refusal:?}");
        }
        if by_writes {
            let written = write(checkpointer, &address, "task", Some(&lease)).await;
            written.unwrap();
        }
        let put = first.clone().lease(&lease).put(checkpointer).await;
        assert_eq!(put.generation, Some(Generation(1)));
        let refusal = Step::after(&put).try_put(checkpointer).await;
        assert!(is_held(&refusal), "{refusal:?}");
    }
}

/// Once the lease is given back, a thread that wasn't made is like one that never was.
pub async fn released_place_is_free(checkpointer: &dyn Checkpointer) {
    for by in ["put", "child", "writes"] {
        let thread_id = fresh_thread();
        let lease = acquire(checkpointer, &thread_id, LONG).await;
        checkpointer.release_lease(&lease).await.unwrap();
        let first = Step::first(&thread_id);
        let address =
            CheckpointAddress::new(thread_id.clone(), first.checkpoint.id.clone()).unwrap();
        match by {
            "put" => {
                let put = first.expect_no_head().put(checkpointer).await;
                assert_eq!(put.generation, Some(Generation(1)));
            }
            "child" => {
                let orphan = Step::after(&address).put(checkpointer).await;
                assert_eq!(orphan.generation, Some(Generation(1)));
            }
            _ => write(checkpointer, &address, "task", None).await.unwrap(),
        }
    }
}

/// Nothing is copied onto a place that a lease keeps, until its time is over.
pub async fn copies_respect_a_place(checkpointer: &dyn Checkpointer) {
    let (source, word) = (fresh_thread(), fresh_word());
    let chain = put_chain(checkpointer, &source, 2).await;
    let metadata = map(json!({ "word": word }));
    let set = checkpointer.set_thread_metadata(&source, metadata.clone());
    set.await.unwrap();
    let target = fresh_thread();
    let lease = acquire(checkpointer, &target, LONG).await;
    let refusal = checkpointer.copy_thread(&source, &target).await;
    assert!(is_held(&refusal), "{refusal:?}");
    checkpointer.renew_lease(&lease, OVER).await.unwrap();
    checkpointer.copy_thread(&source, &target).await.unwrap();
    let head = head(checkpointer, &target).await;
    assert_eq!(head.as_ref(), Some(&chain[1].checkpoint_id));
    let found = checkpointer.threads(ListThreads::all().filter(metadata));
    let found: Vec<_> = found.try_collect().await.unwrap();
    assert_eq!(found.len(), 2);
}

/// A lease outlives the thread: without the lease it isn't started again.
pub async fn outlives_a_delete(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, LONG).await;
    let thread_id = &first.thread_id;
    let deleted = delete_with(checkpointer, thread_id, Some(&lease)).await;
    deleted.unwrap();
    let refusal = Step::first(thread_id).try_put(checkpointer).await;
    assert!(is_held(&refusal), "{refusal:?}");
    let late = Step::after(&first).lease(&lease);
    let late = late.try_put(checkpointer).await;
    assert!(is_deleted(&late), "{late:?}");
    let again = Step::first(thread_id).lease(&lease);
    let again = again.put(checkpointer).await;
    assert_eq!(again.generation, Some(Generation(2)));
    let refusal = Step::after(&again).try_put(checkpointer).await;
    assert!(is_held(&refusal), "{refusal:?}");
}

/// The late first put of a run that was fenced off doesn't start a deleted thread again.
pub async fn late_root_put_is_refused(checkpointer: &dyn Checkpointer) {
    let (first, broken) = leased(checkpointer, LONG).await;
    let thread_id = &first.thread_id;
    let breaking = AcquireLease::new(thread_id, LONG).unwrap().force();
    let lease = checkpointer.acquire_lease(breaking).await.unwrap();
    let deleted = delete_with(checkpointer, thread_id, Some(&lease)).await;
    deleted.unwrap();
    for _ in 0..2 {
        let late = Step::first(thread_id).lease(&broken);
        let late = late.try_put(checkpointer).await;
        assert!(is_lost(&late), "{late:?}");
        assert_eq!(head(checkpointer, thread_id).await, None);
        checkpointer.release_lease(&lease).await.unwrap();
    }
    Step::first(thread_id).put(checkpointer).await;
}

/// A lease on a deleted thread leaves it deleted.
pub async fn on_a_deleted_thread(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 1).await;
    delete(checkpointer, &thread_id).await;
    let lease = acquire(checkpointer, &thread_id, OVER).await;
    let late = Step::after(&chain[0]).without_generation();
    for late in [late.clone(), late.lease(&lease)] {
        let late = late.try_put(checkpointer).await;
        assert!(is_deleted(&late), "{late:?}");
    }
    let late = try_write(checkpointer, &chain[0], "task", "", json!([["a", 1]])).await;
    assert!(is_deleted(&late), "{late:?}");
    let first = Step::first(&thread_id).lease(&lease);
    let first = first.put(checkpointer).await;
    assert_eq!(first.generation, Some(Generation(2)));
}

/// The holder's own puts are guarded as ever; a lost lease comes before a lost head.
pub async fn guards_hold(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, OVER).await;
    let step = Step::after(&first).expect_head(&first).lease(&lease);
    let second = step.put(checkpointer).await;
    let late = Step::after(&first).expect_head(&first).lease(&lease);
    let conflict = late.try_put(checkpointer).await;
    assert!(
        matches!(conflict, Err(Error::Conflict { .. })),
        "{conflict:?}"
    );
    acquire(checkpointer, &first.thread_id, LONG).await;
    let refusal = late.try_put(checkpointer).await;
    assert!(is_lost(&refusal), "{refusal:?}");
    let head = head(checkpointer, &first.thread_id).await;
    assert_eq!(head, Some(second.checkpoint_id));
}

/// A guarded put that was stored is stored, though its lease is lost when it is repeated.
pub async fn stored_before_it_was_lost(checkpointer: &dyn Checkpointer) {
    let (first, lease) = leased(checkpointer, OVER).await;
    let step = Step::after(&first).expect_head(&first).lease(&lease);
    let second = step.put(checkpointer).await;
    acquire(checkpointer, &first.thread_id, LONG).await;
    assert_eq!(step.put(checkpointer).await, second);
}
