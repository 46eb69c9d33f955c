//! Saves that carry a lease, and those of others meanwhile.

use std::time::Duration;

use super::super::Thread;
use super::unreliable::{Fault, Unreliable};
use super::{Counter, counter};
use crate::{AcquireLease, Checkpointer, Error, Lease, MemoryCheckpointer, ThreadId};

const LONG: Duration = Duration::from_secs(60 * 60);

/// Takes the lease from its holder.
async fn taken_over(memory: &MemoryCheckpointer) -> Lease {
    let thread_id = ThreadId::new("counter").unwrap();
    let acquire = AcquireLease::new(thread_id, LONG).unwrap().force();
    memory.acquire_lease(acquire).await.unwrap()
}

#[tokio::test]
async fn while_a_thread_is_leased_nobody_else_saves() {
    let memory = MemoryCheckpointer::new();
    let (mut thread, mut other) = (counter(&memory), counter(&memory));
    thread.acquire_lease(LONG).await.unwrap();
    for n in 1..3 {
        thread.save(&Counter { n }).await.unwrap();
    }
    assert_eq!(other.load().await.unwrap(), Some(Counter { n: 2 }));
    let refusals = [
        other.save(&Counter { n: 3 }).await.map(drop),
        other.update(|counter| counter.n += 1).await.map(drop),
        other.acquire_lease(LONG).await.map(drop),
    ];
    for refusal in refusals {
        assert!(
            matches!(refusal, Err(Error::LeaseHeld { .. })),
            "{refusal:?}"
        );
    }
    thread.release_lease().await.unwrap();
    assert_eq!(thread.lease(), None);
    other.save(&Counter { n: 3 }).await.unwrap();
}

#[tokio::test]
async fn a_thread_that_lost_its_lease_saves_nothing_and_reads_on() {
    let memory = MemoryCheckpointer::new();
    let mut thread = counter(&memory);
    thread.acquire_lease(LONG).await.unwrap();
    thread.save(&Counter { n: 1 }).await.unwrap();

    let mut successor = counter(&memory).with_lease(taken_over(&memory).await);
    let lost = thread.save(&Counter { n: 2 }).await;
    assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
    assert_eq!(thread.load().await.unwrap(), Some(Counter { n: 1 }));

    successor.update(|counter| counter.n = 10).await.unwrap();
    successor.release_lease().await.unwrap();
    thread.acquire_lease(LONG).await.unwrap();
    let saved = thread.update(|counter| counter.n += 1).await.unwrap();
    assert_eq!(*saved, Counter { n: 11 });
}

#[tokio::test]
async fn a_save_that_was_stored_before_its_lease_was_lost_is_known_to_be() {
    for (fault, expected) in [(Fault::AnswerLost, 1), (Fault::RequestLost, 0)] {
        let memory = MemoryCheckpointer::new();
        counter(&memory).save(&Counter { n: 0 }).await.unwrap();
        let unreliable = Unreliable::new(&memory, &[fault]);
        let mut thread = Thread::<Counter>::new(unreliable, "counter").unwrap();
        thread = thread.with_lease(taken_over(&memory).await);
        thread.load().await.unwrap();
        let unknown = thread.save(&Counter { n: 1 }).await.unwrap_err();
        assert!(unknown.is_outcome_unknown(), "{unknown}");

        taken_over(&memory).await;
        let lost = thread.save(&Counter { n: 2 }).await;
        assert!(matches!(lost, Err(Error::LeaseLost { .. })), "{lost:?}");
        let state = thread.load().await.unwrap();
        assert_eq!(state, Some(Counter { n: expected }));
    }
}

#[tokio::test]
async fn a_handle_that_is_dropped_gives_its_lease_back() {
    let memory = MemoryCheckpointer::new();
    let mut thread = counter(&memory);
    let lost = thread.acquire_lease(LONG).await.unwrap().lost();
    let mut other = counter(&memory);
    let timeout = Duration::from_millis(1);
    let refused = other.wait_for_lease(LONG, timeout).await.map(drop);
    assert!(
        matches!(refused, Err(Error::LeaseHeld { .. })),
        "{refused:?}"
    );
    drop(thread);
    let lost = lost.await;
    assert!(matches!(lost, Error::LeaseLost { .. }), "{lost:?}");
    let guard = other.wait_for_lease(LONG, timeout).await.unwrap();
    assert!(!guard.is_lost());
    other.save(&Counter { n: 1 }).await.unwrap();
    assert!(other.lease_guard().is_some());
}

#[tokio::test]
async fn a_lease_that_was_given_is_carried_until_another_is_held() {
    let memory = MemoryCheckpointer::new();
    let given = taken_over(&memory).await;
    let mut thread = counter(&memory).with_lease(given.clone());
    assert_eq!(thread.lease(), Some(&given));
    thread.save(&Counter { n: 1 }).await.unwrap();
    memory.release_lease(&given).await.unwrap();
    let held = thread.acquire_lease(LONG).await.unwrap().lease().clone();
    assert_eq!(thread.lease(), Some(&held));
    thread.save(&Counter { n: 2 }).await.unwrap();
    thread.release_lease().await.unwrap();
    assert_eq!(thread.lease(), None);
    thread.release_lease().await.unwrap();
}
