//! Lists that only grew: a save sends what is new.

use fastrand::Rng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Thread;
use super::unreliable::{Appends, Fault, Unreliable};
use crate::{
    CheckpointAddress, Checkpointer, Error, GetTuple, MemoryCheckpointer, Metadata, Put,
    SaveOptions,
};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Chat {
    messages: Vec<Message>,
    calls: Vec<Message>,
    turn: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Message {
    role: Role,
    text: String,
    score: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Role {
    User,
    Tool { name: String },
}

fn message(n: usize) -> Message {
    let role = match n % 3 {
        0 => Role::User,
        _ => Role::Tool {
            name: format!("tool {}", n % 7),
        },
    };
    Message {
        role,
        text: format!("message {n}, ").repeat(20),
        score: n.is_multiple_of(2).then_some(n as f64 / 2.0),
    }
}

fn chat(messages: usize, calls: usize) -> Chat {
    Chat {
        messages: (0..messages).map(message).collect(),
        calls: (0..calls).map(message).collect(),
        turn: messages,
    }
}

/// A thread, whose puts can be watched.
struct Watched {
    memory: MemoryCheckpointer,
    puts: Unreliable,
}

impl Watched {
    fn new(faults: &[Fault]) -> Self {
        let memory = MemoryCheckpointer::new();
        Self {
            puts: Unreliable::new(&memory, faults),
            memory,
        }
    }

    fn thread<State>(&self) -> Thread<State> {
        Thread::new(self.puts.clone(), "chat").unwrap()
    }

    async fn stored(&self, at: &CheckpointAddress) -> Value {
        let tuple = self.memory.get_tuple(GetTuple::at(at)).await.unwrap();
        json!(tuple.unwrap().checkpoint.channel_values)
    }

    /// Saves a state, and makes sure that it is stored. Returns the lists to which the save appends.
    async fn save<State>(&self, thread: &mut Thread<State>, state: &State) -> Appends
    where
        State: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug + 'static,
    {
        let saved = thread.save(state).await.unwrap();
        assert_eq!(thread.at(&saved.checkpoint_id).await.unwrap(), *state);
        self.puts.last_appends()
    }
}

fn appends<const N: usize>(lists: [(&str, (usize, usize)); N]) -> Appends {
    lists.map(|(name, list)| (name.to_owned(), list)).into()
}

#[tokio::test]
async fn a_save_appends_to_a_long_list_that_grew() {
    let watched = Watched::new(&[]);
    let mut thread = watched.thread();
    for n in 0..100 {
        let put = watched.save(&mut thread, &chat(n, 0)).await;
        match n {
            ..10 => assert_eq!(put, appends([]), "{n}"),
            10..40 => {}
            _ => assert_eq!(put, appends([("messages", (n - 1, 1))])),
        }
    }
    let put = watched.save(&mut thread, &chat(150, 0)).await;
    assert_eq!(put, appends([("messages", (99, 51))]));
}

#[tokio::test]
async fn a_list_that_changed_is_saved_as_a_whole() {
    let watched = Watched::new(&[]);
    let mut thread = watched.thread();
    let mut state = chat(60, 0);
    watched.save(&mut thread, &state).await;
    let changes: [fn(&mut Vec<Message>); 6] = [
        |list| list[30] = message(1000),
        |list| drop(list.remove(0)),
        |list| list.truncate(50),
        |list| list.insert(20, message(1000)),
        |list| list[49].score = Some(-0.0),
        |list| list.swap(3, 4),
    ];
    for change in changes {
        change(&mut state.messages);
        assert_eq!(watched.save(&mut thread, &state).await, appends([]));
        let len = state.messages.len();
        state.messages.push(message(len));
        let put = watched.save(&mut thread, &state).await;
        assert_eq!(put, appends([("messages", (len, 1))]));
    }
}

#[tokio::test]
async fn each_list_is_appended_to_for_itself() {
    let watched = Watched::new(&[]);
    let mut thread = watched.thread();
    let mut state = chat(50, 40);
    watched.save(&mut thread, &state).await;
    state.messages.push(message(50));
    state.calls[7] = message(1000);
    let put = watched.save(&mut thread, &state).await;
    assert_eq!(put, appends([("messages", (50, 1))]));
    state.calls.push(message(40));
    let put = watched.save(&mut thread, &state).await;
    assert_eq!(put, appends([("calls", (40, 1)), ("messages", (51, 0))]));
}

#[tokio::test]
async fn a_list_that_did_not_change_keeps_its_version() {
    let watched = Watched::new(&[]);
    let mut thread = watched.thread();
    let mut versions = Vec::new();
    for turn in 0..3 {
        let state = Chat {
            turn,
            ..chat(60, 0)
        };
        let saved = thread.save(&state).await.unwrap();
        let tuple = watched.memory.get_tuple(GetTuple::at(&saved)).await;
        let checkpoint = tuple.unwrap().unwrap().checkpoint;
        versions.push(checkpoint.channel_versions["messages"].clone());
        if turn > 0 {
            assert_eq!(checkpoint.updated_channels, Some(vec!["turn".to_owned()]));
        }
    }
    assert!(versions.iter().all(|version| *version == versions[0]));
}

#[tokio::test]
async fn a_state_that_is_a_list_is_appended_to() {
    let watched = Watched::new(&[]);
    let mut thread = watched.thread();
    let mut list: Vec<String> = (0..500).map(|n| format!("entry {n}")).collect();
    watched.save(&mut thread, &list).await;
    list.push("another".to_owned());
    let put = watched.save(&mut thread, &list).await;
    assert_eq!(put, appends([("__root__", (500, 1))]));
}

#[tokio::test]
async fn the_save_after_a_load_or_a_fork_is_whole_and_the_next_one_appends() {
    let watched = Watched::new(&[]);
    let first = watched.thread().save(&chat(60, 0)).await.unwrap();
    let mut thread = watched.thread::<Chat>();
    for fork in [false, true] {
        let mut state = match fork {
            true => thread.fork(&first.checkpoint_id).await.unwrap(),
            false => thread.load().await.unwrap().unwrap(),
        };
        for expected in [appends([]), appends([("messages", (61, 1))])] {
            state.messages.push(message(77));
            assert_eq!(watched.save(&mut thread, &state).await, expected);
        }
    }
}

#[tokio::test]
async fn a_save_with_metadata_of_the_thread_is_whole() {
    let watched = Watched::new(&[]);
    let mut thread = watched.thread();
    watched.save(&mut thread, &chat(60, 0)).await;
    let options = SaveOptions::new().thread_metadata("title", "Where is my order?");
    thread.save_with(&chat(61, 0), options).await.unwrap();
    assert_eq!(watched.puts.last_appends(), appends([]));
    assert_eq!(watched.save(&mut thread, &chat(62, 0)).await, appends([]));
    let put = watched.save(&mut thread, &chat(63, 0)).await;
    assert_eq!(put, appends([("messages", (62, 1))]));
}

#[tokio::test]
async fn an_append_whose_outcome_is_unknown_is_one_save() {
    for fault in [Fault::AnswerLost, Fault::RequestLost] {
        let watched = Watched::new(&[]);
        let mut first = watched.thread();
        watched.save(&mut first, &chat(60, 0)).await;
        let unreliable = Unreliable::new(&watched.memory, &[]);
        let mut thread: Thread<Chat> = Thread::new(unreliable.clone(), "chat").unwrap();
        thread.load().await.unwrap();
        thread.save(&chat(61, 0)).await.unwrap();
        unreliable.meet(&[fault, fault]);
        for n in [62, 63] {
            assert!(
                thread
                    .save(&chat(n, 0))
                    .await
                    .unwrap_err()
                    .is_outcome_unknown()
            );
        }
        thread.save(&chat(64, 0)).await.unwrap();
        let last = unreliable.last_appends();
        assert_eq!(last, appends([("messages", (62, 2))]), "{fault:?}");
        assert_eq!(thread.load().await.unwrap(), Some(chat(64, 0)));
    }
}

#[tokio::test]
async fn a_list_that_another_program_has_put_again_is_saved_as_a_whole() {
    let watched = Watched::new(&[]);
    let mut thread = watched.thread();
    thread.save(&chat(60, 0)).await.unwrap();
    let saved = thread.save(&chat(61, 0)).await.unwrap();
    let tuple = watched
        .memory
        .get_tuple(GetTuple::at(&saved))
        .await
        .unwrap();
    let mut checkpoint = tuple.unwrap().checkpoint;
    let values = &mut checkpoint.channel_values;
    values.insert("messages".to_owned(), json!([message(1)]));
    let metadata = Metadata::default();
    let put = Put::new(&saved.thread_id, &checkpoint, &metadata);
    watched.memory.put(put).await.unwrap();
    let next = thread.save(&chat(62, 0)).await.unwrap();
    assert_eq!(watched.puts.last_appends(), appends([]));
    assert_eq!(watched.stored(&next).await, json!(chat(62, 0)));
}

#[tokio::test]
async fn what_cannot_be_read_back_is_refused_in_a_list_that_was_saved_and_behind_it() {
    #[derive(Clone, Serialize, Deserialize)]
    struct Notes {
        notes: Vec<Option<Value>>,
    }

    let watched = Watched::new(&[]);
    let mut thread = watched.thread();
    let mut state = Notes {
        notes: vec![None; 10_000],
    };
    thread.save(&state).await.unwrap();
    for place in [3, 10_000] {
        let mut refused = state.clone();
        refused.notes.resize(10_001, None);
        refused.notes[place] = Some(Value::Null);
        match thread.save(&refused).await.unwrap_err() {
            Error::UnstorableState { path, .. } => assert_eq!(path, format!("notes[{place}]")),
            other => panic!("{other}"),
        }
    }
    state.notes.push(None);
    thread.save(&state).await.unwrap();
    assert_eq!(
        watched.puts.last_appends(),
        appends([("notes", (10_000, 1))])
    );
}

/// Changes a list in one of many ways, most often at its end.
fn edit(rng: &mut Rng, list: &mut Vec<Message>) {
    let n = rng.usize(..1000);
    let place = rng.usize(..=list.len());
    match rng.usize(..12) {
        0 => list.insert(place, message(n)),
        1 => list.truncate(place),
        2 if !list.is_empty() => drop(list.remove(rng.usize(..list.len()))),
        3 if !list.is_empty() => list[place / 2].text.push('.'),
        4 => {}
        5 => list.reverse(),
        _ => list.extend((0..n % 30).map(message)),
    }
}

#[tokio::test]
async fn random_edits_are_stored_as_by_whole_saves() {
    let mut rng = Rng::with_seed(4711);
    for _ in 0..4 {
        let watched = Watched::new(&[]);
        let whole = Watched::new(&[]);
        let mut thread = watched.thread();
        let mut state = Chat::default();
        let mut appended = 0;
        for turn in 0..20 {
            state.turn = turn;
            edit(&mut rng, &mut state.messages);
            if rng.bool() {
                edit(&mut rng, &mut state.calls);
            }
            appended += watched.save(&mut thread, &state).await.len();
            let saved = watched.memory.get_tuple(GetTuple::head("chat").unwrap());
            let saved = saved.await.unwrap().unwrap();
            let mut other = whole.thread::<Chat>();
            other.load().await.unwrap();
            let other = other.save(&state).await.unwrap();
            assert_eq!(
                watched.stored(&saved.address).await,
                whole.stored(&other).await
            );
        }
        assert!(appended > 5, "{appended}");
    }
}
