//! States that are structs, and those that aren't.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::super::Thread;
use super::Counter;
use crate::{
    ChannelValues, Checkpoint, CheckpointId, Checkpointer, GetTuple, MemoryCheckpointer, Metadata,
    Put, ThreadId,
};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Empty {}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Newtype(Counter);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    counter: Counter,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Phase {
    Waiting,
    Running { step: u8 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "phase")]
enum Tagged {
    Running { step: u8 },
}

async fn channels(memory: &MemoryCheckpointer) -> ChannelValues {
    let thread_id = ThreadId::new("shape").unwrap();
    let tuple = memory
        .get_tuple(GetTuple::head(thread_id).unwrap())
        .await
        .unwrap();
    tuple.unwrap().checkpoint.channel_values
}

/// Saves a state twice and reads it; returns its channels.
async fn check<State>(state: State) -> serde_json::Value
where
    State: Debug + PartialEq + Serialize + DeserializeOwned + 'static,
{
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<State>("shape").unwrap();
    thread.save(&state).await.unwrap();
    let loaded = thread.load().await.unwrap();
    assert_eq!(loaded.as_ref(), Some(&state));
    thread.save(&state).await.unwrap();
    assert_eq!(thread.load().await.unwrap(), Some(state));
    json!(channels(&memory).await)
}

#[tokio::test]
async fn the_fields_of_a_struct_are_channels() {
    assert_eq!(check(Counter { n: 1 }).await, json!({ "n": 1 }));
    assert_eq!(check(Newtype(Counter { n: 1 })).await, json!({ "n": 1 }));
    assert_eq!(check(Some(Counter { n: 1 })).await, json!({ "n": 1 }));
    assert_eq!(check(Empty {}).await, json!({}));
    let tagged = Tagged::Running { step: 3 };
    assert_eq!(
        check(tagged).await,
        json!({ "phase": "Running", "step": 3 })
    );
}

#[tokio::test]
async fn any_other_state_is_one_channel() {
    assert_eq!(check(Unit).await, json!({ "__root__": null }));
    assert_eq!(check(None::<Counter>).await, json!({ "__root__": null }));
    assert_eq!(check(vec![1, 2]).await, json!({ "__root__": [1, 2] }));
    assert_eq!(
        check("text".to_owned()).await,
        json!({ "__root__": "text" })
    );
    assert_eq!(
        check(Phase::Waiting).await,
        json!({ "__root__": "Waiting" })
    );
    let running = json!({ "__root__": { "Running": { "step": 3 } } });
    assert_eq!(check(Phase::Running { step: 3 }).await, running);
    let map = BTreeMap::from([("a".to_owned(), 1)]);
    assert_eq!(check(map).await, json!({ "__root__": { "a": 1 } }));
    let flat = Flat {
        name: "a".to_owned(),
        counter: Counter { n: 1 },
    };
    assert_eq!(
        check(flat).await,
        json!({ "__root__": { "name": "a", "n": 1 } })
    );
}

#[tokio::test]
async fn a_state_may_turn_from_one_into_the_other() {
    let memory = MemoryCheckpointer::new();
    let mut thread: Thread<Option<Counter>> = memory.thread("shape").unwrap();
    let states = [None, Some(Counter { n: 1 }), None, Some(Counter { n: 2 })];
    for state in states {
        thread.save(&state).await.unwrap();
        assert_eq!(thread.load().await.unwrap(), Some(state));
    }
    assert_eq!(json!(channels(&memory).await), json!({ "n": 2 }));
}

#[tokio::test]
async fn a_struct_is_read_from_one_channel_too() {
    let memory = MemoryCheckpointer::new();
    let mut flat: Thread<Flat> = memory.thread("shape").unwrap();
    let state = Flat {
        name: "a".to_owned(),
        counter: Counter { n: 1 },
    };
    flat.save(&state).await.unwrap();

    let mut thread: Thread<Counter> = memory.thread("shape").unwrap();
    let state = thread.update(|state| state.n += 1).await.unwrap();
    assert_eq!(*state, Counter { n: 2 });
    assert_eq!(json!(channels(&memory).await), json!({ "n": 2 }));
}

/// Reads channels that a program of another kind has put, as each type reads the object of them.
#[tokio::test]
async fn channels_are_read_as_their_object_is() {
    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    #[serde(untagged)]
    enum Untagged {
        Text(String),
        Running { step: u8 },
    }

    let step = json!({ "step": 3 });
    reads_as_json::<Counter>(json!({ "n": 1 })).await;
    reads_as_json::<Newtype>(json!({ "n": 1 })).await;
    reads_as_json::<Option<Option<Counter>>>(json!({ "n": 1 })).await;
    reads_as_json::<Flat>(json!({ "name": "a", "n": 1 })).await;
    reads_as_json::<Phase>(json!({ "Running": step })).await;
    reads_as_json::<Phase>(json!({ "Waiting": null })).await;
    reads_as_json::<Tagged>(json!({ "phase": "Running", "step": 3 })).await;
    reads_as_json::<Untagged>(step.clone()).await;
    reads_as_json::<BTreeMap<u64, u64>>(json!({ "1": 2, "3": 4 })).await;
    reads_as_json::<serde_json::Value>(json!({ "a": [1.5, { "b": null }] })).await;
    reads_as_json::<serde_json::Number>(step.clone()).await;
    reads_as_json::<Vec<u8>>(step).await;
    reads_as_json::<Unit>(json!({})).await;
    reads_as_json::<Counter>(json!({ "n": "one" })).await;
    reads_as_json::<Counter>(json!({ "m": 1 })).await;
    reads_as_json::<Phase>(json!({ "Running": { "step": 3 }, "Waiting": null })).await;
}

/// A text that knows whether its type was given the stored one, or a copy that it could keep.
#[derive(Debug)]
struct Text {
    is_stored_one: bool,
}

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("text")
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Given;

        impl<'de> Visitor<'de> for Given {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_borrowed_str<E>(self, _: &'de str) -> Result<Text, E> {
                let is_stored_one = true;
                Ok(Text { is_stored_one })
            }

            fn visit_str<E>(self, _: &str) -> Result<Text, E> {
                let is_stored_one = false;
                Ok(Text { is_stored_one })
            }
        }
        deserializer.deserialize_str(Given)
    }
}

#[tokio::test]
async fn a_state_is_read_without_a_copy_of_it() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Texts {
        texts: Vec<Text>,
    }

    let memory = MemoryCheckpointer::new();
    let is_stored_one = false;
    let texts = vec![Text { is_stored_one }];
    memory.thread("root").unwrap().save(&texts).await.unwrap();
    let mut fields = memory.thread("fields").unwrap();
    fields.save(&Some(Texts { texts })).await.unwrap();

    let mut root = memory.thread::<Vec<Text>>("root").unwrap();
    assert!(root.load().await.unwrap().unwrap()[0].is_stored_one);
    let loaded = fields.load().await.unwrap().flatten();
    assert!(loaded.unwrap().texts[0].is_stored_one);
}

async fn reads_as_json<State>(json: serde_json::Value)
where
    State: Debug + PartialEq + Serialize + DeserializeOwned + 'static,
{
    let memory = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("shape").unwrap();
    let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    checkpoint.channel_values = serde_json::from_value(json.clone()).unwrap();
    let metadata = Metadata::default();
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    memory.put(put).await.unwrap();
    let loaded = memory.thread::<State>("shape").unwrap().load().await;
    match serde_json::from_value::<State>(json) {
        Ok(state) => assert_eq!(loaded.unwrap(), Some(state)),
        Err(_) => drop(loaded.unwrap_err()),
    }
}
