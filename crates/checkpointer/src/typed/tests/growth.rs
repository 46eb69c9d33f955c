//! What didn't change has its version, and so isn't stored again.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{Checkpointer, GetTuple, MemoryCheckpointer, Version};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    seen: HashSet<String>,
    counts: HashMap<String, u32>,
    groups: BTreeMap<String, Vec<HashSet<u32>>>,
    bytes: Vec<u8>,
    /// Its order is its meaning, though it could be sorted.
    ranking: Vec<String>,
    turn: u32,
}

fn state() -> State {
    let names = (0..200).map(|n| format!("order-{n}"));
    State {
        seen: names.clone().collect(),
        counts: names.clone().zip(0..).collect(),
        groups: BTreeMap::from([("a".to_owned(), vec![(0..50).collect(), (9..70).collect()])]),
        bytes: vec![7; 100],
        ranking: names.rev().collect(),
        turn: 0,
    }
}

async fn versions(memory: &MemoryCheckpointer) -> BTreeMap<String, Version> {
    let head = memory.get_tuple(GetTuple::head("growth").unwrap()).await;
    head.unwrap().unwrap().checkpoint.channel_versions
}

#[tokio::test]
async fn a_set_that_did_not_change_is_not_stored_again() {
    let memory = MemoryCheckpointer::new();
    memory
        .thread("growth")
        .unwrap()
        .save(&state())
        .await
        .unwrap();
    let first = versions(&memory).await;
    for turn in 1..5 {
        // Each load makes a set of another order.
        let mut thread = memory.thread::<State>("growth").unwrap();
        let updated = thread.update(|state| state.turn = turn).await.unwrap();
        assert_eq!(updated, State { turn, ..state() });
        let now = versions(&memory).await;
        let changed: Vec<_> = now
            .iter()
            .filter(|(channel, version)| first[*channel] != **version)
            .collect();
        assert_eq!(changed.len(), 1, "{changed:?}");
        assert_ne!(first["turn"], now["turn"]);
    }
}

#[tokio::test]
async fn a_set_is_stored_in_sorted_order_and_a_list_in_its_own() {
    let memory = MemoryCheckpointer::new();
    memory
        .thread("growth")
        .unwrap()
        .save(&state())
        .await
        .unwrap();
    let head = memory.get_tuple(GetTuple::head("growth").unwrap()).await;
    let values = head.unwrap().unwrap().checkpoint.channel_values;
    let seen: Vec<String> = serde_json::from_value(values["seen"].clone()).unwrap();
    assert!(seen.is_sorted());
    let ranking: Vec<String> = serde_json::from_value(values["ranking"].clone()).unwrap();
    assert_eq!(ranking, state().ranking);
}
