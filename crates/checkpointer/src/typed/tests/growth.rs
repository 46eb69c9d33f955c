//! What didn't change has its version, and so isn't stored again, unless its order differs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::{Checkpointer, GetTuple, MemoryCheckpointer, Version};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct State {
    hashed: HashSet<String>,
    hashed_inside: BTreeMap<String, Vec<HashSet<u32>>>,
    sorted: BTreeSet<String>,
    counts: HashMap<String, u32>,
    bytes: Vec<u8>,
    /// Its order is its meaning.
    ranking: Vec<String>,
    turn: u32,
}

fn state() -> State {
    let names = (0..200).map(|n| format!("order-{n}"));
    State {
        hashed: names.clone().collect(),
        hashed_inside: BTreeMap::from([(
            "a".to_owned(),
            vec![(0..50).collect(), (9..70).collect()],
        )]),
        sorted: names.clone().collect(),
        counts: names.clone().zip(0..).collect(),
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
async fn a_hash_set_is_stored_by_each_save_after_a_load_and_other_collections_are_not() {
    let memory = MemoryCheckpointer::new();
    let mut thread = memory.thread::<State>("growth").unwrap();
    thread.save(&state()).await.unwrap();
    let mut before = versions(&memory).await;
    for turn in 1..5 {
        let mut thread = memory.thread::<State>("growth").unwrap();
        let updated = thread.update(|state| state.turn = turn).await.unwrap();
        assert_eq!(*updated, State { turn, ..state() });
        let now = versions(&memory).await;
        let changed = now
            .iter()
            .filter(|(channel, version)| before[*channel] != **version)
            .map(|(channel, _)| channel.as_str());
        let changed: Vec<&str> = changed.collect();
        assert_eq!(changed, ["hashed", "hashed_inside", "turn"]);
        before = now;
    }
}
