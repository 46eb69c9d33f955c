//! States that an older program saved, or a newer one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::error::Error as _;

use expect_test::{Expect, expect};
use futures_util::TryStreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::Thread;
use super::unreliable::{Fault, Unreliable};
use crate::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple, Checkpointer, Error, GetTuple,
    MemoryCheckpointer, Metadata, Put, Source, ThreadId,
};

#[derive(Serialize, Deserialize)]
struct First {
    question: String,
    customer: String,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Support {
    messages: Vec<String>,
    customer: String,
    urgency: u8,
}

fn upgrade(from: u32, mut state: Value) -> serde_json::Result<Value> {
    if from < 1 {
        let First { question, customer } = serde_json::from_value(state)?;
        state = json!({ "messages": [question], "customer": customer });
    }
    if from < 2 {
        state["urgency"] = json!(1);
    }
    Ok(state)
}

fn support(checkpointer: &(impl Checkpointer + Clone)) -> Thread<Support> {
    let thread = Thread::new(checkpointer.clone(), "support").unwrap();
    thread.versioned(2, upgrade)
}

/// What the first program saved.
async fn first(memory: &MemoryCheckpointer) -> CheckpointAddress {
    let state = First {
        question: "Where is my order?".to_owned(),
        customer: "Ada".to_owned(),
    };
    let mut thread = memory.thread("support").unwrap();
    thread.save(&state).await.unwrap()
}

fn upgraded() -> Support {
    Support {
        messages: vec!["Where is my order?".to_owned()],
        customer: "Ada".to_owned(),
        urgency: 1,
    }
}

async fn tuple(memory: &MemoryCheckpointer, address: &CheckpointAddress) -> CheckpointTuple {
    let tuple = memory.get_tuple(GetTuple::at(address)).await.unwrap();
    tuple.unwrap()
}

/// Puts a checkpoint as a graph runtime would, with a word about the version or without one.
async fn put(memory: &MemoryCheckpointer, state: Value, version: Option<Value>) {
    let thread_id = ThreadId::new("support").unwrap();
    let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
    checkpoint.channel_values = serde_json::from_value(state).unwrap();
    let mut metadata = Metadata::new(Source::Loop, 3);
    if let Some(version) = version {
        metadata = metadata.with("state_version", version);
    }
    let put = Put::new(&thread_id, &checkpoint, &metadata);
    memory.put(put).await.unwrap();
}

#[tokio::test]
async fn an_older_state_is_upgraded_whenever_it_is_read() {
    let memory = MemoryCheckpointer::new();
    let old = first(&memory).await;
    let before = tuple(&memory, &old).await;
    let mut thread = support(&memory);
    assert_eq!(thread.load().await.unwrap(), Some(upgraded()));
    assert_eq!(thread.at(&old.checkpoint_id).await.unwrap(), upgraded());
    assert_eq!(tuple(&memory, &old).await, before);
}

#[tokio::test]
async fn a_save_after_an_upgrade_has_the_new_shape_and_version() {
    let memory = MemoryCheckpointer::new();
    let old = first(&memory).await;
    let old = tuple(&memory, &old).await;
    let mut thread = support(&memory);
    let state = thread.load().await.unwrap().unwrap();
    let saved = thread.save(&state).await.unwrap();

    let new = tuple(&memory, &saved).await;
    assert_eq!(new.parent_address, Some(old.address));
    assert_eq!(old.metadata.get("state_version"), None);
    assert_eq!(new.metadata.get("state_version"), Some(&json!(2)));
    assert_eq!(new.metadata.step(), Some(0));
    let checkpoint = new.checkpoint;
    assert_eq!(json!(checkpoint.channel_values), json!(upgraded()));
    // What the upgrade left alone isn't new.
    let customer = old.checkpoint.channel_versions.get("customer");
    assert_eq!(checkpoint.channel_versions.get("customer"), customer);
    let changed = ["messages", "urgency"].map(str::to_owned);
    assert_eq!(checkpoint.updated_channels, Some(changed.into()));

    let mut again = support(&memory);
    assert_eq!(again.load().await.unwrap(), Some(upgraded()));
}

#[tokio::test]
async fn the_upgrade_learns_the_version_that_was_saved() {
    let memory = MemoryCheckpointer::new();
    for stored in 0..4 {
        let mut thread: Thread<Vec<u32>> = memory.thread(format!("from {stored}")).unwrap();
        thread = thread.versioned(stored, |from, _| -> serde_json::Result<Value> {
            panic!("there is no version {from}")
        });
        thread.save(&vec![]).await.unwrap();
        let thread: Thread<Vec<u32>> = memory.thread(format!("from {stored}")).unwrap();
        let mut thread = thread.versioned(3, |from, _| Ok::<_, Infallible>(json!([from])));
        let expected = if stored < 3 { vec![stored] } else { vec![] };
        assert_eq!(thread.load().await.unwrap(), Some(expected));
    }
}

#[tokio::test]
async fn an_update_upgrades_and_saves() {
    let memory = MemoryCheckpointer::new();
    first(&memory).await;
    let mut thread = support(&memory);
    thread.update(|state| state.urgency += 1).await.unwrap();
    let expected = Support {
        urgency: 2,
        ..upgraded()
    };
    assert_eq!(support(&memory).load().await.unwrap(), Some(expected));
}

#[tokio::test]
async fn a_fork_goes_on_from_an_older_state() {
    let memory = MemoryCheckpointer::new();
    let old = first(&memory).await;
    let mut thread = support(&memory);
    thread.update(|state| state.urgency = 9).await.unwrap();
    assert_eq!(thread.fork(&old.checkpoint_id).await.unwrap(), upgraded());
    let forked = thread.save(&upgraded()).await.unwrap();
    let forked = tuple(&memory, &forked).await;
    assert_eq!(forked.parent_address, Some(old));
    assert_eq!(forked.metadata.get("state_version"), Some(&json!(2)));
    assert_eq!(support(&memory).load().await.unwrap(), Some(upgraded()));
}

#[tokio::test]
async fn a_lost_save_of_an_upgraded_state_is_one_save() {
    for fault in [Fault::AnswerLost, Fault::RequestLost] {
        let memory = MemoryCheckpointer::new();
        first(&memory).await;
        let mut thread = support(&Unreliable::new(&memory, &[fault]));
        let state = thread.load().await.unwrap().unwrap();
        let unknown = thread.save(&state).await.unwrap_err();
        assert!(unknown.is_outcome_unknown(), "{unknown}");
        assert_eq!(thread.load().await.unwrap(), Some(upgraded()));
        let history: Vec<_> = thread.history().try_collect().await.unwrap();
        assert_eq!(history.len(), 2, "{fault:?}");
        assert_eq!(history[0].metadata.get("state_version"), Some(&json!(2)));
    }
}

#[tokio::test]
async fn a_struct_may_become_an_enum_and_an_enum_a_struct() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Phase {
        Asked(String),
    }
    let memory = MemoryCheckpointer::new();
    first(&memory).await;
    let thread: Thread<Phase> = memory.thread("support").unwrap();
    let mut thread = thread.versioned(1, |_, mut state| {
        Ok::<_, Infallible>(json!({ "Asked": state["question"].take() }))
    });
    let state = thread.load().await.unwrap().unwrap();
    assert_eq!(state, Phase::Asked("Where is my order?".to_owned()));
    thread.save(&state).await.unwrap();

    let thread: Thread<Support> = memory.thread("support").unwrap();
    let mut thread = thread.versioned(2, |from, mut state| {
        assert_eq!(from, 1);
        let messages = [state["Asked"].take()];
        Ok::<_, Infallible>(json!({ "messages": messages, "customer": "Ada", "urgency": 1 }))
    });
    assert_eq!(thread.load().await.unwrap(), Some(upgraded()));
    let saved = thread.save(&upgraded()).await.unwrap();
    let saved = tuple(&memory, &saved).await;
    let channels: Vec<_> = saved.checkpoint.channel_values.keys().collect();
    assert_eq!(channels, ["customer", "messages", "urgency"]);
}

#[tokio::test]
async fn a_runtimes_checkpoint_has_version_0() {
    let memory = MemoryCheckpointer::new();
    let state = json!({ "question": "Where is my order?", "customer": "Ada" });
    put(&memory, state, None).await;
    let mut thread = support(&memory);
    assert_eq!(thread.load().await.unwrap(), Some(upgraded()));
}

/// Checks what an error says of its checkpoint, with all its causes, and that it quotes no state.
#[track_caller]
fn check(error: &Error, expected: &Expect) {
    let (Error::StateMismatch { checkpoint_id, .. } | Error::StateTooNew { checkpoint_id, .. }) =
        error
    else {
        panic!("{error:?}");
    };
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    let id = checkpoint_id.as_str();
    let debug = format!("{error:?}").replace(id, "");
    assert!(!debug.contains("4711"), "{debug}");
    let says = text.strip_prefix(&format!("checkpoint `{id}` of thread `support` "));
    expected.assert_eq(says.unwrap_or(&text));
}

#[tokio::test]
async fn a_newer_state_is_refused() {
    let memory = MemoryCheckpointer::new();
    let mut newer = memory.thread("support").unwrap().versioned(3, upgrade);
    let saved = newer.save(&upgraded()).await.unwrap();

    let mut thread = support(&memory);
    let expected = expect!["holds a state of version 3; this program knows up to 2"];
    check(&thread.load().await.unwrap_err(), &expected);
    check(
        &thread.at(&saved.checkpoint_id).await.unwrap_err(),
        &expected,
    );
    check(
        &thread.fork(&saved.checkpoint_id).await.unwrap_err(),
        &expected,
    );
    check(&thread.update(|_| {}).await.unwrap_err(), &expected);
    // Nor is it overwritten.
    let conflict = thread.save(&upgraded()).await.unwrap_err();
    assert!(matches!(conflict, Error::Conflict { .. }), "{conflict}");

    let mut without: Thread<Support> = memory.thread("support").unwrap();
    let expected = expect!["holds a state of version 3; this program knows up to 0"];
    check(&without.load().await.unwrap_err(), &expected);
}

#[tokio::test]
async fn a_version_that_is_none_is_no_guess() {
    for version in [
        json!("2"),
        json!(null),
        json!(-1),
        json!(1.5),
        json!(1_u64 << 32),
    ] {
        let memory = MemoryCheckpointer::new();
        put(&memory, json!(upgraded()), Some(version)).await;
        check(
            &support(&memory).load().await.unwrap_err(),
            &expect![
                "doesn't fit the state's type: at `$`: the metadata's `state_version` is no version"
            ],
        );
    }
}

#[tokio::test]
async fn an_upgrade_may_fail_with_an_error_of_its_own() {
    #[derive(Debug, thiserror::Error)]
    #[error("no customer is known by that name")]
    struct UnknownCustomer;

    let memory = MemoryCheckpointer::new();
    first(&memory).await;
    let thread = memory.thread::<Support>("support").unwrap();
    let mut thread = thread.versioned(1, |_, _| Err(UnknownCustomer));
    let error = thread.load().await.unwrap_err();
    check(
        &error,
        &expect![
            "doesn't fit the state's type: at `$`: the upgrade from version 0 failed: no customer is known by that name"
        ],
    );
    assert!(error.source().unwrap().is::<UnknownCustomer>());
}

#[tokio::test]
async fn a_state_that_cannot_be_upgraded_is_a_mismatch() {
    let memory = MemoryCheckpointer::new();
    put(&memory, json!({ "question": 4711 }), None).await;
    check(
        &support(&memory).load().await.unwrap_err(),
        &expect![
            "doesn't fit the state's type: at `$`: the upgrade from version 0 failed: expected a string"
        ],
    );

    let memory = MemoryCheckpointer::new();
    let messages = json!([{ "text": "4711" }]);
    put(
        &memory,
        json!({ "messages": messages, "customer": "Ada" }),
        Some(json!(1)),
    )
    .await;
    check(
        &support(&memory).load().await.unwrap_err(),
        &expect!["doesn't fit the state's type: at `messages[0]`: expected a string"],
    );
}

/// Reads a state of one field as a type that it doesn't fit.
async fn mismatch<State: DeserializeOwned + Serialize>(state: Value, expected: &Expect) {
    let memory = MemoryCheckpointer::new();
    put(&memory, state.clone(), None).await;
    let mut thread: Thread<State> = memory.thread("support").unwrap();
    let error = thread.load().await.err().unwrap();
    check(&error, expected);
    let Error::StateMismatch {
        thread_id,
        checkpoint_id,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    // The raw JSON is still in reach.
    let raw = tuple(
        &memory,
        &CheckpointAddress::new(thread_id, checkpoint_id).unwrap(),
    )
    .await;
    assert_eq!(json!(raw.checkpoint.channel_values), state);
}

#[tokio::test]
async fn a_state_that_does_not_fit_is_explained_without_its_values() {
    #[derive(Serialize, Deserialize)]
    struct Inner {
        score: f64,
    }

    #[derive(Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Strict {
        kind: Option<Kind>,
        id: Option<std::net::IpAddr>,
        pair: Option<(u8, u8)>,
        by_name: Option<BTreeMap<String, Inner>>,
    }

    #[derive(Serialize, Deserialize)]
    enum Kind {
        Small,
        Large { size: u8 },
    }

    mismatch::<Support>(
        json!({ "messages": [], "customer": 4711, "urgency": 1 }),
        &expect!["doesn't fit the state's type: at `customer`: expected a string"],
    )
    .await;
    mismatch::<Support>(
        json!({ "messages": ["a", { "4711": 1 }] }),
        &expect!["doesn't fit the state's type: at `messages[1]`: expected a string"],
    )
    .await;
    mismatch::<Support>(
        json!({ "messages": "4711, expected 4711" }),
        &expect!["doesn't fit the state's type: at `messages`: expected a sequence"],
    )
    .await;
    mismatch::<Support>(
        json!({ "messages": [], "customer": "Ada" }),
        &expect!["doesn't fit the state's type: at `$`: missing field `urgency`"],
    )
    .await;
    mismatch::<Support>(
        json!({ "messages": [], "customer": "Ada", "urgency": [4711] }),
        &expect!["doesn't fit the state's type: at `urgency`: expected u8"],
    )
    .await;
    mismatch::<Strict>(
        json!({ "by_name": { "a b": { "score": "4711" } } }),
        &expect![[r#"doesn't fit the state's type: at `by_name["a b"].score`: expected f64"#]],
    )
    .await;
    mismatch::<Strict>(
        json!({ "kind": "x4711" }),
        &expect!["doesn't fit the state's type: at `kind`: a variant that the type doesn't have"],
    )
    .await;
    mismatch::<Strict>(
        json!({ "kind": { "Large": { "size": "4711" } } }),
        &expect!["doesn't fit the state's type: at `kind.Large.size`: expected u8"],
    )
    .await;
    mismatch::<Strict>(
        json!({ "pair": [1, 2, 4711] }),
        &expect!["doesn't fit the state's type: at `pair`: expected fewer elements in array"],
    )
    .await;
    mismatch::<Strict>(
        json!({ "id": "not 4711" }),
        &expect!["doesn't fit the state's type: at `id`: a value that the type refuses"],
    )
    .await;
    mismatch::<Strict>(json!({ "unheard of": 4711 }), &expect![[r#"doesn't fit the state's type: at `["unheard of"]`: a field that the type doesn't have"#]]).await;
    mismatch::<Support>(
        json!({ "__root__": [4711] }),
        &expect!["doesn't fit the state's type: at `[0]`: expected a sequence"],
    )
    .await;
}

#[tokio::test]
async fn an_older_program_beside_a_renamed_field_is_told_of() {
    #[derive(Default, Serialize, Deserialize)]
    struct Older {
        #[serde(default)]
        user: String,
    }

    #[derive(Debug, Default, Serialize, Deserialize)]
    struct Newer {
        #[serde(alias = "user")]
        customer: String,
    }

    let memory = MemoryCheckpointer::new();
    let mut newer = memory.thread::<Newer>("renamed").unwrap();
    newer
        .update(|state| state.customer = "Ada".to_owned())
        .await
        .unwrap();
    let mut older = memory.thread::<Older>("renamed").unwrap();
    older.update(|_| ()).await.unwrap();
    let error = newer.load().await.unwrap_err().to_string();
    let expected = "doesn't fit the state's type: at `$`: duplicate field `customer`";
    assert!(error.ends_with(expected), "{error}");
}
