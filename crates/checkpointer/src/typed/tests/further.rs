//! Steps that wait and fail, what a save says, parts of a history, forks into threads, upgrades.

use std::time::{Duration, SystemTime};

use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Thread;
use super::{Counter, counter};
use crate::{
    CheckpointId, Checkpointer, Error, GetTuple, History, List, MemoryCheckpointer, SaveOptions,
    Source, ThreadId,
};

async fn saved(memory: &MemoryCheckpointer, counts: &[u64]) -> Vec<CheckpointId> {
    let mut thread = counter(memory);
    let mut ids = Vec::new();
    for n in counts {
        let address = thread.save(&Counter { n: *n }).await.unwrap();
        ids.push(address.checkpoint_id);
    }
    ids
}

async fn ids(thread: &Thread<Counter>, history: History) -> Vec<CheckpointId> {
    let steps: Vec<_> = thread.history_of(history).try_collect().await.unwrap();
    let steps = steps.into_iter();
    steps.map(|step| step.address.checkpoint_id).collect()
}

#[tokio::test]
async fn a_step_that_waits_returns_what_it_wants() {
    let memory = MemoryCheckpointer::new();
    // The future may go to another thread.
    let task = tokio::spawn({
        let mut thread = counter(&memory);
        async move {
            let step = async |state: &mut Counter| {
                tokio::task::yield_now().await;
                state.n += 1;
                Ok::<_, Error>(format!("{} now", state.n))
            };
            thread.try_update(step).await
        }
    });
    assert_eq!(task.await.unwrap().unwrap(), "1 now");
    assert_eq!(
        counter(&memory).load().await.unwrap(),
        Some(Counter { n: 1 })
    );
}

#[tokio::test]
async fn a_step_that_fails_saves_nothing() {
    let memory = MemoryCheckpointer::new();
    saved(&memory, &[1]).await;
    let step = async |state: &mut Counter| {
        state.n = 7;
        Err::<(), _>(anyhow::anyhow!("the model has no answer"))
    };
    let error = counter(&memory).try_update(step).await.unwrap_err();
    assert_eq!(error.to_string(), "the model has no answer");
    assert_eq!(
        counter(&memory).load().await.unwrap(),
        Some(Counter { n: 1 })
    );
}

#[tokio::test(start_paused = true)]
async fn a_step_runs_again_after_a_conflict_with_the_state_as_it_is_then() {
    let memory = MemoryCheckpointer::new();
    let mut seen = Vec::new();
    let step = async |state: &mut Counter| {
        seen.push(state.n);
        if seen.len() == 1 {
            saved(&memory, &[5]).await;
        }
        state.n += 1;
        Ok::<_, Error>(state.n)
    };
    assert_eq!(counter(&memory).try_update(step).await.unwrap(), 6);
    assert_eq!(seen, [0, 5]);
}

#[tokio::test]
async fn a_save_has_metadata_of_the_callers_beside_its_own() {
    let memory = MemoryCheckpointer::new();
    let thread = memory.thread::<Counter>("counter").unwrap();
    let mut thread = thread.versioned(2, |_, state| Ok::<_, Error>(state));
    let options = SaveOptions::new()
        .metadata("run_id", "run-17")
        .metadata("step", 99)
        .metadata("state_version", 99);
    thread.save_with(&Counter { n: 1 }, options).await.unwrap();
    let head = memory.get_tuple(GetTuple::head("counter").unwrap());
    let metadata = head.await.unwrap().unwrap().metadata;
    assert_eq!(metadata.run_id(), Some("run-17"));
    assert_eq!(metadata.step(), Some(-1));
    assert_eq!(metadata.get("state_version"), Some(&json!(2)));
}

#[tokio::test]
async fn a_callers_metadata_does_not_make_an_unversioned_state_a_newer_one() {
    let memory = MemoryCheckpointer::new();
    let options = SaveOptions::new().metadata("state_version", 9);
    let mut thread = counter(&memory);
    thread.save_with(&Counter { n: 1 }, options).await.unwrap();
    assert_eq!(
        counter(&memory).load().await.unwrap(),
        Some(Counter { n: 1 })
    );
}

#[tokio::test]
async fn a_history_is_read_page_by_page() {
    let memory = MemoryCheckpointer::new();
    let mut made = saved(&memory, &[1, 2, 3, 4, 5]).await;
    made.reverse();
    let thread = counter(&memory);
    let first = ids(&thread, History::all().limit(2)).await;
    assert_eq!(first, made[..2]);
    let rest = ids(&thread, History::all().before(&first[1])).await;
    assert_eq!(rest, made[2..]);
    assert!(ids(&thread, History::all().limit(0)).await.is_empty());
}

#[tokio::test]
async fn a_history_is_restricted_by_metadata() {
    let memory = MemoryCheckpointer::new();
    let made = saved(&memory, &[1, 2, 3]).await;
    let filter = json!({ "step": 0 }).as_object().cloned().unwrap();
    let found = ids(&counter(&memory), History::all().filter(filter)).await;
    assert_eq!(found, made[1..2]);
}

#[tokio::test]
async fn a_history_is_restricted_by_times_before_its_limit_counts() {
    let memory = MemoryCheckpointer::new();
    let earlier = saved(&memory, &[1, 2]).await;
    let steps: Vec<_> = counter(&memory).history().try_collect().await.unwrap();
    let last = steps[0].checkpoint.made_at().unwrap();
    while SystemTime::now() <= last + Duration::from_micros(1) {
        tokio::task::yield_now().await;
    }
    let mut thread = counter(&memory);
    thread.load().await.unwrap();
    let later = thread.save(&Counter { n: 3 }).await.unwrap().checkpoint_id;
    let after = ids(&thread, History::all().made_after(last)).await;
    assert_eq!(after, [later]);
    let before = History::all().made_before(last + Duration::from_micros(1));
    let newest: Vec<_> = earlier.last().cloned().into_iter().collect();
    assert_eq!(ids(&thread, before.limit(1)).await, newest);
}

#[tokio::test]
async fn a_fork_into_a_thread_leaves_the_first_one_as_it_is() {
    let memory = MemoryCheckpointer::new();
    let made = saved(&memory, &[1, 2]).await;
    let thread = counter(&memory);
    let (mut forked, state) = thread.fork_into("forked", &made[0]).await.unwrap();
    assert_eq!(state, Counter { n: 1 });
    forked.save(&Counter { n: 7 }).await.unwrap();
    let of_both: Vec<_> = memory.list(List::all()).try_collect().await.unwrap();
    assert_eq!(of_both.len(), 4);
    assert_eq!(
        counter(&memory).load().await.unwrap(),
        Some(Counter { n: 2 })
    );
    assert_eq!(forked.load().await.unwrap(), Some(Counter { n: 7 }));

    let first = History::all().before(forked.checkpoint_id().unwrap());
    let first: Vec<_> = forked.history_of(first).try_collect().await.unwrap();
    let metadata = &first[0].metadata;
    assert_eq!(metadata.source(), Some(Source::Fork.as_str()));
    let from = json!({ "thread_id": "counter", "checkpoint_id": made[0].as_str() });
    assert_eq!(metadata.get("forked_from"), Some(&from));
}

#[tokio::test]
async fn a_fork_into_a_thread_may_be_repeated_and_spares_a_thread_that_is_there() {
    let memory = MemoryCheckpointer::new();
    let made = saved(&memory, &[1, 2]).await;
    let thread = counter(&memory);
    for _ in 0..2 {
        thread.fork_into("forked", &made[0]).await.unwrap();
    }
    let refused = thread.fork_into("forked", &made[1]).await.unwrap_err();
    assert!(matches!(refused, Error::Conflict { .. }), "{refused}");
    let missing = CheckpointId::generate(None);
    let refused = thread.fork_into("other", &missing).await.unwrap_err();
    assert!(
        matches!(refused, Error::CheckpointNotFound { .. }),
        "{refused}"
    );
    let other = ThreadId::new("other").unwrap();
    assert_eq!(memory.thread_info(&other).await.unwrap(), None);
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wide {
    n: u64,
    m: u64,
}

#[tokio::test]
async fn fields_that_the_type_does_not_know_go_into_the_forked_thread() {
    let memory = MemoryCheckpointer::new();
    let mut wide = memory.thread::<Wide>("counter").unwrap();
    let saved = wide.save(&Wide { n: 1, m: 2 }).await.unwrap();
    let thread = counter(&memory);
    let forked = thread.fork_into("forked", &saved.checkpoint_id).await;
    forked.unwrap().0.save(&Counter { n: 3 }).await.unwrap();
    let wide = memory.thread::<Wide>("forked").unwrap().load().await;
    assert_eq!(wide.unwrap(), Some(Wide { n: 3, m: 2 }));
}

/// The counter's state as version 3 has it.
fn newer(memory: &MemoryCheckpointer) -> Thread<Counter> {
    let upgrade = |from, mut state: Value| {
        state["n"] = json!(state["n"].as_u64().unwrap_or_default() * 10);
        assert!(from < 3);
        Ok::<_, Error>(state)
    };
    counter(memory).versioned(3, upgrade)
}

#[tokio::test]
async fn a_state_is_saved_in_the_current_version_once() {
    let memory = MemoryCheckpointer::new();
    assert!(!newer(&memory).upgrade().await.unwrap());
    let made = saved(&memory, &[1]).await;
    assert!(newer(&memory).upgrade().await.unwrap());
    assert!(!newer(&memory).upgrade().await.unwrap());
    assert_eq!(
        newer(&memory).load().await.unwrap(),
        Some(Counter { n: 10 })
    );
    assert_eq!(
        newer(&memory).at(&made[0]).await.unwrap(),
        Counter { n: 10 }
    );
    let too_new = counter(&memory).load().await.unwrap_err();
    assert!(matches!(too_new, Error::StateTooNew { .. }), "{too_new}");
}

#[test]
fn a_checkpoint_tells_when_it_was_made_whatever_clock_wrote_it() {
    let mut checkpoint = crate::Checkpoint::new(CheckpointId::generate(None));
    let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    for (ts, expected) in [
        ("1970-01-01T00:00:07Z", at(7)),
        ("1970-01-01T00:00:07", at(7)),
        ("1970-01-01T01:30:07+01:30", at(7)),
        ("1970-01-01T00:00:07.000000-02:00", at(7207)),
        ("1970-01-01", None),
        ("1970-01-01T00:00:07+18446744073709551615:00", None),
        ("éé", None),
        ("", None),
    ] {
        ts.clone_into(&mut checkpoint.ts);
        assert_eq!(checkpoint.made_at(), expected, "{ts}");
    }
}
