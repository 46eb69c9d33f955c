//! States that are structs, and those that aren't.

use std::collections::BTreeMap;
use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::Thread;
use super::Counter;
use crate::{ChannelValues, Checkpointer, GetTuple, MemoryCheckpointer, ThreadId};

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
