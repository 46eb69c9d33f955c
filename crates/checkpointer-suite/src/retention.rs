//! `prune` with a policy, and pins: what is chosen stays, with what it is rebuilt from.

use std::time::Duration;

use serde_json::{Value, json};

use super::step::{
    Step, acquire, find, fresh_thread, fresh_word, get, head, history, ids, is_held, list, map,
    prune, put_chain, write,
};
use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, Error, Generation, GetTuple, List, Prune,
    PruneStrategy, Removed, Retention, ThreadId,
};

const HOUR: Duration = Duration::from_secs(60 * 60);

async fn keep(
    checkpointer: &dyn Checkpointer,
    thread_id: &ThreadId,
    policy: Retention,
) -> checkpointer::Result<Removed> {
    let prune = Prune::new([thread_id], PruneStrategy::Keep(policy)).unwrap();
    checkpointer.prune(prune).await
}

async fn keep_all(checkpointer: &dyn Checkpointer, thread_id: &ThreadId, policy: Retention) {
    let removed = keep(checkpointer, thread_id, policy).await.unwrap();
    removed.complete().unwrap();
}

async fn pin(checkpointer: &dyn Checkpointer, address: &CheckpointAddress) {
    checkpointer.set_pinned(address, true).await.unwrap();
}

/// The places in a chain of those that are left, the newest first.
async fn left(checkpointer: &dyn Checkpointer, chain: &[CheckpointAddress]) -> Vec<usize> {
    let ids = ids(checkpointer, &chain[0].thread_id).await;
    let place = |id| chain.iter().position(|at| at.checkpoint_id == id).unwrap();
    ids.into_iter().map(place).collect()
}

/// What is counted, in a form that can be compared.
fn counts(removed: &Removed) -> [u64; 4] {
    let Removed {
        checkpoints,
        writes,
        threads,
        bytes,
        ..
    } = removed;
    [*checkpoints, *writes, *threads, *bytes]
}

/// The last so many stay, and a second time changes nothing.
pub async fn keeps_the_last(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 5).await;
    for _ in 0..2 {
        keep_all(checkpointer, &thread_id, Retention::keep_last(2)).await;
        assert_eq!(left(checkpointer, &chain).await, [4, 3]);
    }
    assert_eq!(get(checkpointer, &chain[3]).await.parent_address, None);
    keep_all(checkpointer, &thread_id, Retention::keep_last(0)).await;
    assert_eq!(left(checkpointer, &chain).await, [4]);
}

/// The last are those put last, in each namespace.
pub async fn keeps_the_last_of_each_namespace(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    for name in ["", "memory"] {
        let mut last = Step::first(&thread_id).in_ns(name).put(checkpointer).await;
        for _ in 0..3 {
            last = Step::after(&last).put(checkpointer).await;
        }
    }
    keep_all(checkpointer, &thread_id, Retention::keep_last(2)).await;
    assert_eq!(ids(checkpointer, &thread_id).await.len(), 4);
}

/// What is newer than the age stays.
pub async fn keeps_what_is_new(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    let policy = Retention::keep_last(1).newer_than(HOUR);
    keep_all(checkpointer, &thread_id, policy).await;
    assert_eq!(left(checkpointer, &chain).await, [2, 1, 0]);
    let policy = Retention::keep_last(1).newer_than(Duration::ZERO);
    keep_all(checkpointer, &thread_id, policy).await;
    assert_eq!(left(checkpointer, &chain).await, [2]);
}

/// An age longer than time itself is no error, and keeps everything.
pub async fn takes_any_age(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    let policy = Retention::keep_last(1)
        .newer_than(Duration::MAX)
        .delete_after(Duration::MAX);
    keep_all(checkpointer, &thread_id, policy).await;
    assert_eq!(left(checkpointer, &chain).await, [1, 0]);
}

/// The tips of forks stay if they are to.
pub async fn keeps_the_tips_of_forks(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut all = put_chain(checkpointer, &thread_id, 4).await;
    let fork = Step::after(&all[1]).put(checkpointer).await;
    all.push(Step::after(&fork).put(checkpointer).await);
    all.push(fork);
    let policy = Retention::keep_last(1).fork_tips();
    for _ in 0..2 {
        keep_all(checkpointer, &thread_id, policy.clone()).await;
        assert_eq!(left(checkpointer, &all).await, [4, 3]);
    }
    let head = head(checkpointer, &thread_id).await;
    assert_eq!(head.as_ref(), Some(&all[4].checkpoint_id));
    prune(checkpointer, &thread_id).await;
    assert_eq!(left(checkpointer, &all).await, [4]);
}

/// A pinned checkpoint stays, until it is unpinned.
pub async fn keeps_what_is_pinned(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 4).await;
    pin(checkpointer, &chain[1]).await;
    prune(checkpointer, &thread_id).await;
    assert_eq!(left(checkpointer, &chain).await, [3, 1]);
    let thinned = Retention::keep_last(1).delete_after(Duration::ZERO);
    keep_all(checkpointer, &thread_id, thinned).await;
    assert_eq!(left(checkpointer, &chain).await, [3, 1]);
    for _ in 0..2 {
        checkpointer.set_pinned(&chain[1], false).await.unwrap();
    }
    prune(checkpointer, &thread_id).await;
    assert_eq!(left(checkpointer, &chain).await, [3]);
}

/// A pinned checkpoint keeps what it is rebuilt from.
pub async fn keeps_what_a_pinned_one_is_rebuilt_from(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let mut chain: Vec<CheckpointAddress> = Vec::new();
    for n in 0..6 {
        let step = chain
            .last()
            .map_or_else(|| Step::first(&thread_id), Step::after);
        let values = match n {
            1 | 4 => json!({ "log": [n], "n": n }),
            _ => json!({ "n": n }),
        };
        let step = step.values(values).versions(json!({ "log": n, "n": n }));
        let address = step.changed(["log", "n"]).put(checkpointer).await;
        write(checkpointer, &address, "task", json!([["log", n]])).await;
        chain.push(address);
    }
    pin(checkpointer, &chain[3]).await;
    let before = history(checkpointer, GetTuple::at(&chain[3]), "log").await;
    assert_eq!(
        (before.seed.as_deref(), before.writes.len()),
        (Some(&json!([1])), 2)
    );
    prune(checkpointer, &thread_id).await;
    let after = history(checkpointer, GetTuple::at(&chain[3]), "log").await;
    assert_eq!(after, before);
    assert_eq!(left(checkpointer, &chain).await, [5, 4, 3, 2, 1]);
}

/// A pinned checkpoint of a call that is over stays, and so does the call of a pinned one.
pub async fn keeps_pins_of_calls(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    let call = async |root: &CheckpointAddress, name: &str| {
        let parents = json!({ "": root.checkpoint_id.as_str() });
        let first = Step::first(&thread_id).in_ns(name);
        let first = first.metadata("parents", parents.clone());
        let first = first.put(checkpointer).await;
        let second = Step::after(&first).metadata("parents", parents);
        [first, second.put(checkpointer).await]
    };
    let [pinned, over] = call(&chain[0], "call:1").await;
    let [gone, of_pinned] = call(&chain[1], "call:2").await;
    let [first, second] = call(&chain[0], "call:3").await;
    pin(checkpointer, &pinned).await;
    pin(checkpointer, &chain[1]).await;
    prune(checkpointer, &thread_id).await;
    let is_there = async |at: &CheckpointAddress| {
        let found = find(checkpointer, GetTuple::at(at)).await;
        found.is_some()
    };
    for at in [&pinned, &of_pinned, &chain[1], &chain[2]] {
        assert!(is_there(at).await, "{at:?}");
    }
    for at in [&over, &gone, &first, &second, &chain[0]] {
        assert!(!is_there(at).await, "{at:?}");
    }
}

/// A pin is seen wherever the checkpoint is read.
pub async fn a_pin_is_seen(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    for _ in 0..2 {
        pin(checkpointer, &chain[0]).await;
    }
    assert!(get(checkpointer, &chain[0]).await.pinned);
    assert!(!get(checkpointer, &chain[1]).await.pinned);
    let listed = list(checkpointer, List::thread(&thread_id).unwrap()).await;
    let pins: Vec<bool> = listed.iter().map(|tuple| tuple.pinned).collect();
    assert_eq!(pins, [false, true]);
}

/// A checkpoint that is put again stays pinned, and so does its copy.
pub async fn a_pin_outlives_a_put_and_a_copy(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let first = Step::first(&thread_id).values(json!({ "a": 1 }));
    let address = first.put(checkpointer).await;
    Step::after(&address).put(checkpointer).await;
    pin(checkpointer, &address).await;
    first.values(json!({ "a": 2 })).put(checkpointer).await;
    assert!(get(checkpointer, &address).await.pinned);

    let copy = fresh_thread();
    checkpointer.copy_thread(&thread_id, &copy).await.unwrap();
    prune(checkpointer, &copy).await;
    assert_eq!(ids(checkpointer, &copy).await.len(), 2);
}

/// What isn't there can't be pinned.
pub async fn a_missing_checkpoint_is_not_pinned(checkpointer: &dyn Checkpointer) {
    let is_missing = async |at: &CheckpointAddress| {
        let outcome = checkpointer.set_pinned(at, true).await;
        assert!(
            matches!(outcome, Err(Error::CheckpointNotFound { .. })),
            "{outcome:?}"
        );
    };
    let thread_id = fresh_thread();
    is_missing(&Step::first(&thread_id).address()).await;
    let address = Step::first(&thread_id).put(checkpointer).await;
    is_missing(&address.sibling(super::step::id("other"))).await;
    is_missing(&address.clone().generation(Generation(7))).await;
    let delete = DeleteThread::new(&thread_id).unwrap();
    checkpointer.delete_thread(delete).await.unwrap();
    is_missing(&address).await;
}

/// A pin doesn't stop a deletion that names the thread or the run.
pub async fn a_pin_stops_no_deletion_by_name(checkpointer: &dyn Checkpointer) {
    let (run, thread_id) = (fresh_word(), fresh_thread());
    let first = Step::first(&thread_id).metadata("run_id", run.as_str());
    let first = first.put(checkpointer).await;
    let last = Step::after(&first).put(checkpointer).await;
    for at in [&first, &last] {
        pin(checkpointer, at).await;
    }
    let removed = checkpointer.delete_for_runs(&[run]).await.unwrap();
    assert_eq!(removed.checkpoints, 1);
    let all = Prune::new([&thread_id], PruneStrategy::Delete).unwrap();
    assert_eq!(checkpointer.prune(all).await.unwrap().threads, 1);
}

/// A thread that rests for the age is deleted, unless something in it is pinned.
pub async fn deletes_threads_that_rest(checkpointer: &dyn Checkpointer) {
    let [resting, pinned] = [fresh_thread(), fresh_thread()];
    let chain = put_chain(checkpointer, &pinned, 2).await;
    pin(checkpointer, &chain[0]).await;
    put_chain(checkpointer, &resting, 2).await;
    let after = |age| Retention::keep_all().delete_after(age);
    for thread_id in [&resting, &pinned] {
        let kept = keep(checkpointer, thread_id, after(HOUR)).await.unwrap();
        assert_eq!(counts(&kept), [0; 4]);
    }
    let gone = keep(checkpointer, &resting, after(Duration::ZERO)).await;
    assert_eq!(counts(&gone.unwrap())[..3], [2, 0, 1]);
    let kept = keep(checkpointer, &pinned, after(Duration::ZERO)).await;
    assert_eq!(counts(&kept.unwrap()), [0; 4]);
}

/// A lease keeps a thread from being deleted, not from being thinned.
pub async fn a_lease_stops_only_deletions(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 3).await;
    let _lease = acquire(checkpointer, &thread_id, HOUR).await;
    let delete = Retention::keep_last(1).delete_after(Duration::ZERO);
    for dry_run in [true, false] {
        let prune = Prune::new([&thread_id], PruneStrategy::Keep(delete.clone()));
        let removed = checkpointer.prune(prune.unwrap().dry_run(dry_run)).await;
        let mut removed = removed.unwrap();
        assert_eq!(counts(&removed), [0; 4]);
        let failed = removed.failed.pop().map(|failed| failed.error);
        assert!(is_held(&failed.map_or(Ok(()), Err)));
    }
    keep_all(checkpointer, &thread_id, Retention::keep_last(1)).await;
    assert_eq!(left(checkpointer, &chain).await, [2]);
}

async fn label(checkpointer: &dyn Checkpointer, thread_id: &ThreadId, metadata: Value) {
    let metadata = map(metadata);
    let set = checkpointer.set_thread_metadata(thread_id, metadata);
    set.await.unwrap();
}

/// A policy is for threads with that metadata, and for none with other.
pub async fn is_for_threads_of_its_metadata(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let chain = put_chain(checkpointer, &thread_id, 2).await;
    label(checkpointer, &thread_id, json!({ "plan": "free", "n": 1 })).await;
    let policies = [
        Retention::keep_last(1).only(map(json!({ "plan": "paid" }))),
        Retention::keep_last(1).except(map(json!({ "plan": "free" }))),
        Retention::keep_last(1)
            .delete_after(Duration::ZERO)
            .except(map(json!({ "n": 1 }))),
        Retention::keep_last(1)
            .except(map(json!({ "n": 1 })))
            .except(map(json!({ "n": 2 }))),
        Retention::keep_last(1)
            .delete_after(Duration::ZERO)
            .except(map(json!({ "plan": "paid" })))
            .except(map(json!({ "plan": "free" }))),
    ];
    for policy in policies {
        keep_all(checkpointer, &thread_id, policy).await;
        assert_eq!(left(checkpointer, &chain).await, [1, 0]);
    }
    let policy = Retention::keep_last(1)
        .only(map(json!({ "plan": "free" })))
        .except(map(json!({ "n": 2 })))
        .except(map(json!({ "n": 1, "plan": "paid" })));
    keep_all(checkpointer, &thread_id, policy).await;
    assert_eq!(left(checkpointer, &chain).await, [1]);
}

/// A dry run says what the run then does, and changes nothing.
pub async fn a_dry_run_is_what_the_run_is(checkpointer: &dyn Checkpointer) {
    let thread_id = fresh_thread();
    let large: Value = (0..300)
        .map(|n| json!({ "n": n, "text": "x".repeat(30) }))
        .collect();
    let mut last: Option<CheckpointAddress> = None;
    for n in 0..4 {
        let step = last
            .as_ref()
            .map_or_else(|| Step::first(&thread_id), Step::after);
        let mut value = large.clone();
        value[n] = json!("changed");
        let address = step
            .values(json!({ "a": value, "n": n }))
            .put(checkpointer)
            .await;
        write(
            checkpointer,
            &address,
            "task",
            json!([["a", large], ["n", n]]),
        )
        .await;
        last = Some(address);
    }
    let before = list(checkpointer, List::thread(&thread_id).unwrap()).await;
    let strategies = [
        PruneStrategy::Keep(Retention::keep_last(3)),
        PruneStrategy::KeepLatest,
        PruneStrategy::Keep(Retention::keep_all().delete_after(Duration::ZERO)),
        PruneStrategy::Delete,
    ];
    let prune = |strategy: &PruneStrategy| Prune::new([&thread_id], strategy.clone()).unwrap();
    for strategy in &strategies {
        let dry = checkpointer.prune(prune(strategy).dry_run(true)).await;
        assert!(dry.unwrap().bytes > 0, "{strategy:?}");
    }
    let after = list(checkpointer, List::thread(&thread_id).unwrap()).await;
    assert_eq!(after, before);
    for strategy in &strategies[..3] {
        let dry = checkpointer.prune(prune(strategy).dry_run(true)).await;
        let run = checkpointer.prune(prune(strategy)).await;
        assert_eq!(counts(&dry.unwrap()), counts(&run.unwrap()), "{strategy:?}");
    }
    let again = checkpointer.prune(prune(&PruneStrategy::Delete).dry_run(true));
    assert_eq!(counts(&again.await.unwrap()), [0; 4]);
}

/// Every thread that is due is found, some at a time; the others are left alone.
pub async fn finds_what_is_due(checkpointer: &dyn Checkpointer) {
    let word = fresh_word();
    let mut chains = Vec::new();
    for _ in 0..5 {
        let chain = put_chain(checkpointer, &fresh_thread(), 3).await;
        label(
            checkpointer,
            &chain[0].thread_id,
            json!({ "case": word.as_str() }),
        )
        .await;
        chains.push(chain);
    }
    let policy = Retention::keep_last(1).only(map(json!({ "case": word.as_str() })));
    let due = || Prune::due(policy.clone());
    let dry = checkpointer.prune(due().dry_run(true)).await.unwrap();
    assert_eq!((dry.checkpoints, dry.more), (10, false));

    let (mut checkpoints, mut calls) = (0, 0);
    loop {
        let removed = checkpointer.prune(due().limit(2)).await.unwrap();
        assert!(removed.examined <= 2 && !removed.elsewhere);
        checkpoints += removed.checkpoints;
        calls += 1;
        if !removed.more {
            break;
        }
    }
    assert_eq!(checkpoints, 10);
    assert!(calls >= 3, "{calls} calls");
    for chain in &chains {
        assert_eq!(left(checkpointer, chain).await, [2]);
    }
    Step::after(&chains[0][2]).put(checkpointer).await;
    let next = checkpointer.prune(due()).await.unwrap();
    assert_eq!(next.checkpoints, 1);

    let delete = Retention::keep_all().delete_after(Duration::ZERO);
    let delete = delete.only(map(json!({ "case": word.as_str() })));
    let deleted = checkpointer.prune(Prune::due(delete)).await.unwrap();
    assert_eq!(deleted.threads, 5);
}

/// A thread that fails keeps no other from its turn, and has its own in the next round.
pub async fn tries_again_what_failed(checkpointer: &dyn Checkpointer) {
    let word = fresh_word();
    let threads = [fresh_thread(), fresh_thread(), fresh_thread()];
    for thread_id in &threads {
        put_chain(checkpointer, thread_id, 1).await;
        label(checkpointer, thread_id, json!({ "case": word.as_str() })).await;
    }
    let lease = acquire(checkpointer, &threads[1], HOUR).await;
    let policy = Retention::keep_all()
        .delete_after(Duration::ZERO)
        .only(map(json!({ "case": word.as_str() })));
    let prune = || checkpointer.prune(Prune::due(policy.clone()));
    let mut removed = prune().await.unwrap();
    assert_eq!(removed.threads, 2);
    let failed = removed.failed.pop().unwrap();
    assert_eq!(failed.thread_id, threads[1]);
    assert!(is_held(&Err::<(), _>(failed.error)));
    assert_eq!(removed.failed.len(), 0);

    checkpointer.release_lease(&lease).await.unwrap();
    let removed = prune().await.unwrap();
    assert_eq!((removed.threads, removed.failed.len()), (1, 0));
}
