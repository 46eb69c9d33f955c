//! Updates in a row, which begin with what the last one has saved, and what others do meanwhile.

use fastrand::Rng;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use super::super::Thread;
use super::unreliable::{Appends, Fault, Unreliable};
use super::{Counter, counter};
use crate::{Checkpointer, DeleteThread, Error, GetTuple, MemoryCheckpointer};

/// Memory, and a handle whose calls are counted.
struct Watched {
    memory: MemoryCheckpointer,
    calls: Unreliable,
    thread: Thread<Counter>,
}

impl Watched {
    fn new() -> Self {
        let memory = MemoryCheckpointer::new();
        let calls = Unreliable::new(&memory, &[]);
        let thread = Thread::new(calls.clone(), "counter").unwrap();
        Self {
            memory,
            calls,
            thread,
        }
    }

    /// Adds one; returns what that makes, with the puts and the reads that it took.
    async fn add(&mut self) -> (u64, (usize, usize)) {
        let before = self.calls.calls();
        let n = self.thread.update(add).await.unwrap().n;
        let after = self.calls.calls();
        (n, (after.0 - before.0, after.1 - before.1))
    }

    async fn others_add(&self, further: u64) {
        let mut theirs = counter(&self.memory);
        theirs.update(|state| state.n += further).await.unwrap();
    }

    async fn stored(&self) -> Option<u64> {
        stored(&self.memory).await
    }

    async fn delete(&self) {
        let delete = DeleteThread::new("counter").unwrap();
        self.memory.delete_thread(delete).await.unwrap();
    }
}

async fn stored(memory: &MemoryCheckpointer) -> Option<u64> {
    let state = counter(memory).load().await.unwrap();
    state.map(|state| state.n)
}

fn add(state: &mut Counter) {
    state.n += 1;
}

#[tokio::test]
async fn updates_in_a_row_load_once() {
    let mut watched = Watched::new();
    watched.others_add(10).await;
    assert_eq!(watched.add().await, (11, (1, 1)));
    for n in 12..15 {
        assert_eq!(watched.add().await, (n, (1, 0)));
        assert_eq!(watched.stored().await, Some(n));
    }
    let mut new = Watched::new();
    assert_eq!(new.add().await, (1, (1, 1)));
    assert_eq!(new.add().await, (2, (1, 0)));
}

#[tokio::test]
async fn an_update_appends_to_a_list_that_the_last_one_has_saved() {
    #[derive(Default, Serialize, Deserialize)]
    struct Chat {
        messages: Vec<String>,
    }

    let calls = Unreliable::new(&MemoryCheckpointer::new(), &[]);
    let mut thread: Thread<Chat> = Thread::new(calls.clone(), "chat").unwrap();
    let message = |n: usize| format!("message {n}, ").repeat(20);
    let fill = |state: &mut Chat| state.messages.extend((0..60).map(message));
    thread.update(fill).await.unwrap();
    for n in 60..70 {
        let updated = thread.update(|state| state.messages.push(message(n)));
        assert_eq!(updated.await.unwrap().messages.len(), n + 1);
        let appends = Appends::from([("messages".to_owned(), (n, 1))]);
        assert_eq!(calls.last_appends(), appends);
    }
    let step = async |state: &mut Chat| {
        state.messages.push(message(70));
        Ok::<_, Error>(state.messages.len())
    };
    assert_eq!(thread.try_update(step).await.unwrap(), 71);
    let appends = Appends::from([("messages".to_owned(), (70, 1))]);
    assert_eq!(calls.last_appends(), appends);
    let loaded = thread.load().await.unwrap().unwrap().messages;
    assert_eq!(loaded, (0..71).map(message).collect::<Vec<_>>());
}

#[tokio::test]
async fn while_another_program_saves_between_the_updates_each_loads_first() {
    let mut watched = Watched::new();
    assert_eq!(watched.add().await, (1, (1, 1)));
    watched.others_add(10).await;
    assert_eq!(watched.add().await, (12, (2, 1)), "one put is refused");
    for n in [23, 34] {
        watched.others_add(10).await;
        assert_eq!(watched.add().await, (n, (1, 1)), "no other is");
    }
    assert_eq!(watched.add().await, (35, (1, 1)));
    assert_eq!(watched.add().await, (36, (1, 0)), "alone again");
}

#[tokio::test]
async fn a_step_that_fails_with_an_outdated_state_runs_again() {
    let mut watched = Watched::new();
    watched.add().await;
    let seen = &mut Vec::new();
    let mut withdraw = async |state: &mut Counter| {
        seen.push(state.n);
        let rest = state.n.checked_sub(5);
        state.n = rest.ok_or_else(|| anyhow::anyhow!("only {}", state.n))?;
        anyhow::Ok(())
    };
    watched.others_add(10).await;
    watched.thread.try_update(&mut withdraw).await.unwrap();
    watched.thread.try_update(&mut withdraw).await.unwrap();
    let failed = watched.thread.try_update(&mut withdraw).await.unwrap_err();
    assert_eq!(failed.to_string(), "only 1");
    assert_eq!(*seen, [1, 11, 6, 1, 1]);
    assert_eq!(watched.add().await, (2, (1, 1)), "nothing is left of it");
}

#[tokio::test]
async fn a_state_that_cannot_be_saved_is_made_again_from_the_one_at_the_head() {
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<f64>("number").unwrap();
    thread.update(|number| *number = 0.0).await.unwrap();
    let mut theirs = memory.thread::<f64>("number").unwrap();
    theirs.update(|number| *number = 2.0).await.unwrap();
    let inverse = |number: &mut f64| *number = 1.0 / *number;
    assert_eq!(*thread.update(inverse).await.unwrap(), 0.5);
    theirs.update(|number| *number = 0.0).await.unwrap();
    let refused = thread.update(inverse).await.unwrap_err();
    assert!(
        matches!(refused, Error::UnstorableState { .. }),
        "{refused}"
    );
}

#[tokio::test]
async fn an_update_of_a_thread_that_was_deleted_starts_it_again() {
    let mut watched = Watched::new();
    watched.others_add(10).await;
    watched.add().await;
    watched.delete().await;
    assert_eq!(watched.add().await.0, 1);
    watched.add().await;
    watched.delete().await;
    watched.others_add(10).await;
    assert_eq!(watched.add().await.0, 11);
}

#[tokio::test]
async fn an_update_that_was_dropped_or_whose_outcome_is_unknown_counts_at_most_once() {
    for (fault, stored) in [
        (Fault::AnswerLost, 3),
        (Fault::AnswerLate, 3),
        // The next call sends them again.
        (Fault::RequestLost, 3),
        (Fault::RequestLate, 3),
        (Fault::Busy, 2),
        (Fault::Refused, 2),
    ] {
        let mut watched = Watched::new();
        watched.add().await;
        watched.add().await;
        watched.calls.meet(&[fault]);
        if let Some(outcome) = watched.thread.update(add).now_or_never() {
            outcome.unwrap_err();
        }
        assert_eq!(watched.add().await.0, stored + 1, "{fault:?}");
        assert_eq!(watched.stored().await, Some(stored + 1), "{fault:?}");
    }
}

#[tokio::test]
async fn what_was_saved_forked_or_loaded_since_is_what_the_next_update_begins_with() {
    let mut watched = Watched::new();
    watched.add().await;
    let first = watched.thread.checkpoint_id().cloned().unwrap();
    watched.thread.save(&Counter { n: 20 }).await.unwrap();
    assert_eq!(watched.add().await.0, 21);
    watched.thread.fork(&first).await.unwrap();
    assert_eq!(watched.add().await.0, 22, "from the head");
    watched.thread.fork(&first).await.unwrap();
    watched.thread.save(&Counter { n: 30 }).await.unwrap();
    assert_eq!(watched.add().await.0, 31);
    watched.others_add(10).await;
    watched.thread.load().await.unwrap();
    assert_eq!(watched.add().await.0, 42);
    assert_eq!(watched.stored().await, Some(42));
}

#[tokio::test]
async fn a_fork_to_the_head_leaves_no_trace_in_an_update() {
    let mut watched = Watched::new();
    watched.add().await;
    let head = watched.thread.checkpoint_id().cloned().unwrap();
    watched.thread.fork(&head).await.unwrap();
    watched.add().await;
    let query = GetTuple::head("counter").unwrap();
    let head = watched.memory.get_tuple(query).await.unwrap().unwrap();
    assert_eq!(head.metadata.source(), Some("update"));
}

#[tokio::test]
async fn an_update_begins_with_what_a_transaction_has_committed() {
    for commits in [true, false] {
        let memory = MemoryCheckpointer::new();
        let mut thread = counter(&memory);
        thread.update(add).await.unwrap();
        let tx = memory.begin().unwrap();
        thread.save_within(&tx, &Counter { n: 10 }).await.unwrap();
        match commits {
            true => tx.commit(),
            false => drop(tx),
        }
        let expected = if commits { 11 } else { 2 };
        assert_eq!(thread.update(add).await.unwrap().n, expected);
    }
}

/// Does something with a handle that an update doesn't begin with.
async fn meddle(rng: &mut Rng, memory: &MemoryCheckpointer, thread: &mut Thread<Counter>) {
    let loaded = thread.load().await.unwrap();
    let head = thread.checkpoint_id().cloned();
    match (rng.u8(..5), loaded, head) {
        (0, Some(Counter { n }), _) => {
            thread.save(&Counter { n: n + 100 }).await.unwrap();
        }
        (1, _, Some(head)) => {
            thread.fork(&head).await.unwrap();
        }
        (2, _, Some(head)) => {
            thread.save(&Counter { n: 7 }).await.unwrap();
            thread.fork(&head).await.unwrap();
        }
        (3, ..) => {
            let delete = DeleteThread::new("counter").unwrap();
            memory.delete_thread(delete).await.unwrap();
        }
        _ => {}
    }
}

#[tokio::test]
async fn random_updates_change_the_state_at_the_head_whatever_others_do() {
    let mut rng = Rng::with_seed(4711);
    let memory = MemoryCheckpointer::new();
    let handle = |_| {
        let calls = Unreliable::new(&memory, &[]);
        let thread: Thread<Counter> = Thread::new(calls.clone(), "counter").unwrap();
        (calls, thread)
    };
    let mut handles: Vec<_> = (0..3).map(handle).collect();
    let (mut reads, mut expected) = (0, 0);
    for _ in 0..300 {
        let (calls, thread) = rng.choice(&mut handles).unwrap();
        match rng.u8(..10) {
            0 => {
                meddle(&mut rng, &memory, thread).await;
                expected = stored(&memory).await.unwrap_or(0);
            }
            1 => {
                let faults = [Fault::AnswerLost, Fault::RequestLost, Fault::Busy];
                calls.meet(&[rng.choice(faults).unwrap()]);
                let is_saved = thread.update(add).await.is_ok();
                thread.load().await.unwrap();
                let found = stored(&memory).await.unwrap_or(0);
                // Of a save that got lost and would have met a conflict nothing is left.
                assert!(found == expected + 1 || found == expected && !is_saved);
                expected = found;
            }
            _ => {
                let before = calls.calls().1;
                // Several in a row, so that some begin with what the handle has kept.
                for _ in 0..3 {
                    expected += 1;
                    assert_eq!(thread.update(add).await.unwrap().n, expected);
                }
                reads += calls.calls().1 - before;
            }
        }
        assert_eq!(stored(&memory).await.unwrap_or(0), expected);
    }
    // Three updates in a row would load three times.
    assert!(reads < 2 * 240, "{reads}");
}
