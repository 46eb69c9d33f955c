//! Saves whose outcome isn't known, and saves beside others.

use futures_util::{FutureExt, TryStreamExt};

use super::super::Thread;
use super::unreliable::{Fault, Unreliable};
use super::{Counter, counter};
use crate::{CheckpointId, Checkpointer, DeleteThread, Error, MemoryCheckpointer, ThreadId};

/// Faults after which the outcome isn't known: those that answer, and those at which the caller
/// gives up.
const UNKNOWN: [Fault; 4] = [
    Fault::AnswerLost,
    Fault::RequestLost,
    Fault::AnswerLate,
    Fault::RequestLate,
];

fn unreliable(memory: &MemoryCheckpointer, faults: &[Fault]) -> Thread<Counter> {
    Thread::new(Unreliable::new(memory, faults), "counter").unwrap()
}

/// Saves, and gives up where no answer comes at once.
fn save(thread: &mut Thread<Counter>, n: u64) -> Option<Error> {
    let outcome = thread.save(&Counter { n }).now_or_never();
    outcome.map(|outcome| outcome.unwrap_err())
}

/// What was saved, the last first.
async fn saved(memory: &MemoryCheckpointer) -> Vec<u64> {
    let thread = counter(memory);
    let history: Vec<_> = thread.history().try_collect().await.unwrap();
    let mut states = Vec::new();
    for tuple in history {
        states.push(thread.at(&tuple.address.checkpoint_id).await.unwrap().n);
    }
    states
}

async fn ids(memory: &MemoryCheckpointer) -> Vec<CheckpointId> {
    let history: Vec<_> = counter(memory).history().try_collect().await.unwrap();
    let ids = history.into_iter().map(|tuple| tuple.address.checkpoint_id);
    ids.collect()
}

#[tokio::test]
async fn the_first_save_never_conflicts_with_its_own_attempt() {
    for fault in UNKNOWN {
        let memory = MemoryCheckpointer::new();
        let mut thread = unreliable(&memory, &[fault]);
        save(&mut thread, 1);
        thread.save(&Counter { n: 2 }).await.unwrap();
        assert_eq!(saved(&memory).await, [2, 1], "{fault:?}");
    }
}

#[tokio::test]
async fn a_later_save_never_conflicts_with_its_own_attempts() {
    for first in UNKNOWN {
        for second in UNKNOWN {
            let memory = MemoryCheckpointer::new();
            counter(&memory).save(&Counter { n: 1 }).await.unwrap();
            let mut thread = unreliable(&memory, &[first, second]);
            thread.load().await.unwrap();
            save(&mut thread, 2);
            // Meets the fault while it finds out about the one before it.
            save(&mut thread, 3);
            thread.save(&Counter { n: 4 }).await.unwrap();
            assert_eq!(saved(&memory).await, [4, 2, 1], "{first:?}, {second:?}");
        }
    }
}

#[tokio::test]
async fn a_refusal_tells_nothing_of_the_attempt_before_it() {
    for fault in UNKNOWN {
        let memory = MemoryCheckpointer::new();
        let mut thread = unreliable(&memory, &[fault, Fault::Refused]);
        save(&mut thread, 1);
        let refused = save(&mut thread, 2).unwrap();
        assert!(!refused.is_transient(), "{refused}");
        thread.save(&Counter { n: 3 }).await.unwrap();
        assert_eq!(saved(&memory).await, [3, 1], "{fault:?}");
    }
}

#[tokio::test]
async fn a_save_that_was_refused_is_over() {
    let memory = MemoryCheckpointer::new();
    let mut thread = unreliable(&memory, &[Fault::Refused]);
    save(&mut thread, 1);
    assert_eq!(thread.load().await.unwrap(), None);
    thread.save(&Counter { n: 2 }).await.unwrap();
    assert_eq!(saved(&memory).await, [2]);
}

#[tokio::test]
async fn a_save_that_was_too_busy_is_over() {
    let memory = MemoryCheckpointer::new();
    let mut thread = unreliable(&memory, &[Fault::Busy]);
    save(&mut thread, 1);
    assert_eq!(thread.load().await.unwrap(), None);
    thread.save(&Counter { n: 2 }).await.unwrap();
    assert_eq!(saved(&memory).await, [2]);
}

#[tokio::test]
async fn a_save_whose_outcome_is_unknown_and_that_is_then_too_busy_is_sent_again() {
    for fault in UNKNOWN {
        let memory = MemoryCheckpointer::new();
        let mut thread = unreliable(&memory, &[fault, Fault::Busy]);
        save(&mut thread, 1);
        let busy = thread.load().await.unwrap_err();
        assert!(matches!(busy, Error::Busy { .. }), "{busy}");
        thread.save(&Counter { n: 2 }).await.unwrap();
        assert_eq!(saved(&memory).await, [2, 1], "{fault:?}");
    }
}

#[tokio::test]
async fn a_load_finds_out_about_the_last_save() {
    for fault in UNKNOWN {
        let memory = MemoryCheckpointer::new();
        let mut thread = unreliable(&memory, &[fault]);
        save(&mut thread, 1);
        assert_eq!(thread.load().await.unwrap(), Some(Counter { n: 1 }));
        thread.save(&Counter { n: 2 }).await.unwrap();
        assert_eq!(saved(&memory).await, [2, 1], "{fault:?}");
    }
}

#[tokio::test]
async fn a_lost_save_that_somebody_overtook_is_a_conflict_once() {
    let memory = MemoryCheckpointer::new();
    let mut thread = unreliable(&memory, &[Fault::RequestLost]);
    save(&mut thread, 1);
    counter(&memory).save(&Counter { n: 5 }).await.unwrap();
    let conflict = thread.save(&Counter { n: 2 }).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict}");
    assert_eq!(thread.load().await.unwrap(), Some(Counter { n: 5 }));
    thread.save(&Counter { n: 6 }).await.unwrap();
    assert_eq!(saved(&memory).await, [6, 5]);
}

#[tokio::test]
async fn a_lost_save_that_somebody_went_on_from_is_no_attempt_any_more() {
    let memory = MemoryCheckpointer::new();
    let mut thread = unreliable(&memory, &[Fault::AnswerLost]);
    save(&mut thread, 1);
    let mut theirs = counter(&memory);
    theirs.update(|state| state.n += 10).await.unwrap();
    // They have saved since, and the loss of an answer doesn't hide it.
    let conflict = thread.save(&Counter { n: 2 }).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict}");
    assert_eq!(saved(&memory).await, [11, 1]);
}

#[tokio::test]
async fn a_load_after_a_lost_save_finds_that_the_thread_was_deleted() {
    for fault in UNKNOWN {
        let memory = MemoryCheckpointer::new();
        counter(&memory).save(&Counter { n: 1 }).await.unwrap();
        let mut thread = unreliable(&memory, &[fault]);
        thread.load().await.unwrap();
        save(&mut thread, 2);
        let thread_id = ThreadId::new("counter").unwrap();
        memory
            .delete_thread(DeleteThread::new(thread_id).unwrap())
            .await
            .unwrap();
        assert_eq!(thread.load().await.unwrap(), None, "{fault:?}");
        thread.save(&Counter { n: 3 }).await.unwrap();
        assert_eq!(saved(&memory).await, [3]);
    }
}

#[tokio::test]
async fn a_handle_of_a_deleted_thread_does_not_write_to_the_one_after_it() {
    let memory = MemoryCheckpointer::new();
    let mut thread = counter(&memory);
    let first = thread.save(&Counter { n: 1 }).await.unwrap();
    let thread_id = ThreadId::new("counter").unwrap();
    memory
        .delete_thread(DeleteThread::new(thread_id).unwrap())
        .await
        .unwrap();
    counter(&memory).save(&Counter { n: 7 }).await.unwrap();

    for _ in 0..2 {
        let deleted = thread.save(&Counter { n: 2 }).await.unwrap_err();
        assert!(matches!(deleted, Error::ThreadDeleted { .. }), "{deleted}");
    }
    let gone = thread.fork(&first.checkpoint_id).await.unwrap_err();
    assert!(matches!(gone, Error::CheckpointNotFound { .. }), "{gone}");
    assert_eq!(thread.load().await.unwrap(), Some(Counter { n: 7 }));
    thread.save(&Counter { n: 8 }).await.unwrap();
    assert_eq!(saved(&memory).await, [8, 7]);
}

#[tokio::test]
async fn a_handle_that_never_loaded_overwrites_nothing() {
    let memory = MemoryCheckpointer::new();
    counter(&memory).save(&Counter { n: 1 }).await.unwrap();
    let conflict = counter(&memory).save(&Counter { n: 2 }).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict}");
}

#[tokio::test]
async fn a_fork_by_a_handle_that_never_loaded_becomes_the_head() {
    let memory = MemoryCheckpointer::new();
    for n in 1..=3 {
        let mut thread = counter(&memory);
        thread.update(|state| state.n = n).await.unwrap();
    }
    let first = ids(&memory).await.pop().unwrap();
    let mut thread = counter(&memory);
    assert_eq!(thread.fork(&first).await.unwrap(), Counter { n: 1 });
    let forked = thread.save(&Counter { n: 10 }).await.unwrap();
    assert_eq!(saved(&memory).await, [10, 3, 2, 1]);
    let query = crate::GetTuple::at(&forked);
    let tuple = memory.get_tuple(query).await.unwrap().unwrap();
    assert_eq!(tuple.parent_address.unwrap().checkpoint_id, first);
    assert_eq!(tuple.metadata.source(), Some("fork"));
    assert_eq!(tuple.metadata.step(), Some(0));
}

#[tokio::test]
async fn a_lost_fork_never_conflicts_with_its_own_attempt() {
    for fault in UNKNOWN {
        let memory = MemoryCheckpointer::new();
        for n in 1..=3 {
            let mut thread = counter(&memory);
            thread.update(|state| state.n = n).await.unwrap();
        }
        let first = ids(&memory).await.pop().unwrap();
        let mut thread = unreliable(&memory, &[fault]);
        thread.fork(&first).await.unwrap();
        save(&mut thread, 10);
        thread.fork(&first).await.unwrap();
        thread.save(&Counter { n: 20 }).await.unwrap();
        assert_eq!(saved(&memory).await, [20, 10, 3, 2, 1], "{fault:?}");
    }
}

#[tokio::test]
async fn a_fork_guards_against_saves_since_the_load() {
    let memory = MemoryCheckpointer::new();
    let mut thread = counter(&memory);
    let first = thread.save(&Counter { n: 1 }).await.unwrap();
    thread.save(&Counter { n: 2 }).await.unwrap();
    let mut theirs = counter(&memory);
    theirs.update(|state| state.n = 3).await.unwrap();
    thread.fork(&first.checkpoint_id).await.unwrap();
    let conflict = thread.save(&Counter { n: 10 }).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict}");
    assert_eq!(saved(&memory).await, [3, 2, 1]);
}

#[tokio::test]
async fn every_one_of_many_updates_counts() {
    let memory = MemoryCheckpointer::new();
    let agents = (0..8).map(async |_| {
        let mut thread = counter(&memory);
        for _ in 0..5 {
            // Between the load and the save the others have their turn.
            let state = thread.load().await.unwrap();
            tokio::task::yield_now().await;
            let n = state.unwrap_or_default().n;
            if let Err(Error::Conflict { .. }) = thread.save(&Counter { n: n + 1 }).await {
                thread.update(|state| state.n += 1).await.unwrap();
            }
        }
    });
    futures_util::future::join_all(agents).await;
    let state = counter(&memory).load().await.unwrap();
    assert_eq!(state, Some(Counter { n: 40 }));
    assert_eq!(ids(&memory).await.len(), 40);
}

#[tokio::test]
async fn an_update_loads_again_after_a_conflict() {
    let memory = MemoryCheckpointer::new();
    let mut thread = counter(&memory);
    let mut calls = 0;
    let state = thread
        .update(|state| {
            calls += 1;
            if calls < 3 {
                // Another writer is faster, twice.
                let mut theirs = counter(&memory);
                let update = theirs.update(|state| state.n += 10);
                update.now_or_never().unwrap().unwrap();
            }
            state.n += 1;
        })
        .await
        .unwrap();
    assert_eq!(*state, Counter { n: 21 });
    assert_eq!(calls, 3);
    assert_eq!(saved(&memory).await, [21, 20, 10]);
}
