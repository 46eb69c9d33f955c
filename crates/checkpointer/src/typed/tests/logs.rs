//! Logs in a state: a save looks at what is new.

use std::cell::Cell;

use fastrand::Rng;
use serde::{Deserialize, Serialize, Serializer};

use super::super::{Log, Thread};
use super::unreliable::Unreliable;
use crate::MemoryCheckpointer;

thread_local! {
    /// How many messages were serialized.
    static SEEN: Cell<usize> = const { Cell::new(0) };
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Message(String);

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SEEN.set(SEEN.get() + 1);
        self.0.serialize(serializer)
    }
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chat {
    messages: Log<Message>,
    others: Log<Message>,
    plain: Vec<Log<Message>>,
}

fn message(n: usize) -> Message {
    Message(format!("message {n}, ").repeat(20))
}

fn thread() -> (Unreliable, Thread<Chat>) {
    let puts = Unreliable::new(&MemoryCheckpointer::new(), &[]);
    let thread = Thread::new(puts.clone(), "chat").unwrap();
    (puts, thread)
}

/// Saves a state, makes sure that it is stored, and returns how many messages the save looked at.
async fn save(thread: &mut Thread<Chat>, state: &Chat) -> usize {
    let before = SEEN.get();
    let saved = thread.save(state).await.unwrap();
    let seen = SEEN.get() - before;
    assert_eq!(thread.at(&saved.checkpoint_id).await.unwrap(), *state);
    seen
}

#[tokio::test]
async fn a_save_looks_at_what_was_pushed_to_a_log() {
    let (puts, mut thread) = thread();
    let mut state = Chat::default();
    state.messages.extend((0..100).map(message));
    save(&mut thread, &state).await;
    for n in 100..110 {
        state.messages.push(message(n));
        assert_eq!(save(&mut thread, &state).await, 1);
        assert_eq!(puts.last_appends()["messages"], (n, 1));
    }
    assert_eq!(save(&mut thread, &state).await, 0);
}

#[tokio::test]
async fn a_save_looks_at_all_of_a_log_that_was_changed_cloned_loaded_or_moved() {
    let (puts, mut thread) = thread();
    let mut state = Chat::default();
    state.messages.extend((0..100).map(message));
    save(&mut thread, &state).await;
    state.messages.make_mut()[50] = message(1000);
    assert!(save(&mut thread, &state).await >= 100);
    state.messages = state.messages.clone();
    assert!(save(&mut thread, &state).await >= 100);
    state = thread.load().await.unwrap().unwrap();
    assert!(save(&mut thread, &state).await >= 100);
    state.others = std::mem::take(&mut state.messages);
    assert!(save(&mut thread, &state).await >= 100);
    assert!(!puts.last_appends().contains_key("others"));
    assert_eq!(save(&mut thread, &state).await, 0);
    assert_eq!(puts.last_appends()["others"], (100, 0));
}

#[tokio::test]
async fn a_log_inside_another_value_is_saved_with_it() {
    let (puts, mut thread) = thread();
    let mut state = Chat::default();
    for n in 0..3 {
        state.plain.push((0..n).map(message).collect());
        state.plain[0].push(message(n));
        save(&mut thread, &state).await;
        assert!(!puts.last_appends().contains_key("plain"));
    }
}

#[tokio::test]
async fn random_changes_are_stored() {
    let (puts, mut thread) = thread();
    let mut rng = Rng::with_seed(4711);
    let mut state = Chat::default();
    let mut appended = 0;
    for n in 0..60 {
        let messages = &mut state.messages;
        match rng.usize(..10) {
            0 => messages.make_mut().truncate(n),
            1 => *messages = messages.clone(),
            2 => std::mem::swap(messages, &mut state.others),
            3 => messages.make_mut().reverse(),
            4 => {}
            5 => *messages = (0..n).map(message).collect(),
            _ => messages.extend((0..rng.usize(..20)).map(message)),
        }
        save(&mut thread, &state).await;
        appended += puts.last_appends().len();
    }
    assert!(appended > 30, "{appended}");
}
