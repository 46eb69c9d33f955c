//! Which checkpoints stay.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use super::{Node, Nodes, latest};
use crate::{CheckpointId, CheckpointNs};

/// Four checkpoints in a row.
struct Chain([CheckpointId; 4]);

impl Chain {
    fn new() -> Self {
        Self(["1", "2", "3", "4"].map(|id| CheckpointId::new(id).unwrap()))
    }

    /// Describes them by what each says of the channel `log`: `v`alue, `e`mpty, `w`ritten.
    fn nodes(&self, log: [&str; 4]) -> Nodes<'_> {
        let parents = [None, Some(&self.0[0]), Some(&self.0[1]), Some(&self.0[2])];
        let nodes = self.0.iter().zip(parents).zip(log);
        let nodes = nodes.map(|((id, parent), log)| {
            let says = |letter| log.contains(letter).then_some("log").into_iter().collect();
            let node = Node {
                parent,
                filled: says('v'),
                empty: says('e'),
                written: says('w'),
                ..Node::default()
            };
            (id.as_str(), node)
        });
        Nodes(nodes.collect())
    }

    #[track_caller]
    fn keeps(&self, log: [&str; 4], expected: &[&str]) {
        let kept = self.nodes(log).with_needed(["4"].into());
        assert_eq!(Vec::from_iter(kept), expected, "{log:?}");
    }
}

#[test]
fn a_channel_stored_as_writes_needs_its_ancestors_back_to_a_value() {
    let chain = Chain::new();
    chain.keeps(["vw", "vw", "ew", "e"], &["2", "3", "4"]);
    chain.keeps(["vw", "v", "ew", "e"], &["2", "3", "4"]);
    chain.keeps(["w", "ew", "e", "e"], &["1", "2", "3", "4"]);
    chain.keeps(["", "ew", "e", "e"], &["2", "3", "4"]);
}

#[test]
fn an_emptied_channel_needs_nobody() {
    let chain = Chain::new();
    chain.keeps(["v", "e", "e", "e"], &["4"]);
    chain.keeps(["w", "v", "e", "e"], &["4"]);
    chain.keeps(["", "", "", "e"], &["4"]);
}

#[test]
fn a_ring_of_parents_ends() {
    let chain = Chain::new();
    let mut nodes = chain.nodes(["ew", "e", "e", "e"]);
    nodes.0.get_mut("1").unwrap().parent = Some(&chain.0[3]);
    assert!(nodes.with_needed(["4"].into()).contains("1"));
}

#[test]
fn a_call_of_a_subgraph_goes_with_its_root() {
    let [root, call, kept] = ["", "call:1", "memory"].map(|ns| CheckpointNs::new(ns).unwrap());
    let chain = Chain::new();
    let of = |root: &'static str| {
        let mut nodes = chain.nodes(["", "", "", ""]);
        nodes.0.get_mut("4").unwrap().root = Some(root);
        (Some(&chain.0[3]), nodes)
    };
    let heads = |root_of_call| {
        let thread = BTreeMap::from([(&root, of("")), (&call, of(root_of_call)), (&kept, of("1"))]);
        latest(&thread)
            .into_values()
            .map(|kept| kept.len())
            .collect()
    };
    let left: [Vec<usize>; 3] = ["1", "4", "not stored"].map(heads);
    assert_eq!(left, [[1, 0, 1], [1, 1, 1], [1, 1, 1]]);
}
