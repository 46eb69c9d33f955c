//! Which checkpoints stay.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Channels, Namespace, Namespaces, Node, Nodes, Removal, channels, going};
use crate::{CheckpointId, CheckpointNs, Retention};

fn id(name: &str) -> CheckpointId {
    CheckpointId::new(name).unwrap()
}

/// Four checkpoints in a row, described by what each says of the channel `log`: `v`alue, `e`mpty,
/// `w`ritten; and what it is besides: `p`inned, `y`oung.
fn nodes(says: [&str; 4]) -> impl Iterator<Item = (CheckpointId, Node)> {
    let parents = [None, Some("1"), Some("2"), Some("3")];
    (1..)
        .zip(parents)
        .zip(says)
        .map(|((number, parent), says)| {
            let log = |letter| -> Channels { channels(says.contains(letter).then_some("log")) };
            let node = Node {
                parent: parent.map(id),
                seq: number,
                filled: log('v'),
                empty: log('e'),
                written: log('w'),
                pinned: says.contains('p'),
                young: says.contains('y'),
                ..Node::default()
            };
            (id(&number.to_string()), node)
        })
}

fn namespace(nodes: impl IntoIterator<Item = (CheckpointId, Node)>) -> Namespace {
    Namespace {
        head: Some(id("4")),
        nodes: Nodes::from_iter(nodes),
    }
}

/// The ids of those that stay, by a policy.
fn kept(namespace: Namespace, policy: &Retention) -> String {
    let mut thread = Namespaces::from([(CheckpointNs::ROOT, namespace)]);
    let going = &going(&mut thread, Removal::Old(policy))[&CheckpointNs::ROOT];
    let nodes = &thread[&CheckpointNs::ROOT].nodes;
    let kept = nodes.iter().zip(&going.goes).filter(|(_, goes)| !**goes);
    kept.map(|((id, _), _)| id.as_str()).collect()
}

#[track_caller]
fn keeps(says: [&str; 4], expected: &str) {
    let kept = kept(namespace(nodes(says)), &Retention::keep_last(1));
    assert_eq!(kept, expected, "{says:?}");
}

#[test]
fn a_channel_stored_as_writes_needs_its_ancestors_back_to_a_value() {
    keeps(["vw", "vw", "ew", "e"], "234");
    keeps(["vw", "v", "ew", "e"], "234");
    keeps(["w", "ew", "e", "e"], "1234");
    keeps(["", "ew", "e", "e"], "234");
}

#[test]
fn an_emptied_channel_needs_nothing() {
    keeps(["v", "e", "e", "e"], "4");
    keeps(["w", "v", "e", "e"], "4");
    keeps(["", "", "", "e"], "4");
}

#[test]
fn a_ring_of_parents_ends() {
    let ring = nodes(["ew", "e", "e", "e"]).map(|(of, node)| {
        let parent = node.parent.or_else(|| Some(id("4")));
        (of, Node { parent, ..node })
    });
    let kept = kept(namespace(ring), &Retention::keep_last(1));
    assert!(kept.contains('1'), "{kept}");
}

#[test]
fn each_rule_of_a_policy_keeps_what_it_names() {
    let day = Duration::from_secs(24 * 60 * 60);
    let policies = [
        (Retention::keep_last(0), "4"),
        (Retention::keep_last(2), "34"),
        (Retention::keep_last(9), "1234"),
        (Retention::keep_all(), "1234"),
    ];
    for (policy, expected) in policies {
        assert_eq!(kept(namespace(nodes(["", "", "", ""])), &policy), expected);
    }
    let newer = Retention::keep_last(1).newer_than(day);
    assert_eq!(kept(namespace(nodes(["", "y", "", ""])), &newer), "24");
    keeps(["", "p", "", ""], "24");
    keeps(["vw", "e", "ep", ""], "1234");
}

#[test]
fn the_last_are_those_put_last_whatever_their_ids() {
    let turned = nodes(["", "", "", ""]).map(|(id, node)| {
        let (seq, parent) = (5 - node.seq, None);
        (
            id,
            Node {
                seq,
                parent,
                ..node
            },
        )
    });
    let kept = kept(namespace(turned), &Retention::keep_last(2));
    assert_eq!(kept, "124", "the head stays besides");
}

#[test]
fn the_tips_of_forks_stay_if_they_are_to() {
    let fork = (
        id("5"),
        Node {
            parent: Some(id("2")),
            seq: 5,
            ..Node::default()
        },
    );
    let forked = || namespace(nodes(["", "", "", ""]).chain([fork.clone()]));
    let heads = Retention::keep_last(1);
    assert_eq!(kept(forked(), &heads), "45");
    let first = || {
        let mut first = forked();
        first.head = Some(id("5"));
        first
    };
    assert_eq!(kept(first(), &heads), "5");
    assert_eq!(kept(first(), &heads.fork_tips()), "45");
}

#[test]
fn each_checkpoint_goes_before_its_ancestors() {
    // The second was put before its parent.
    let nodes = nodes(["", "", "", ""]).map(|(of, node)| {
        let seq = if of == id("2") { 0 } else { node.seq };
        (of, Node { seq, ..node })
    });
    let nodes = Nodes::from_iter(nodes);
    assert_eq!(nodes.leaves_first(&[true; 4]), [3, 2, 1, 0]);
    assert_eq!(nodes.leaves_first(&[true, true, false, true]), [3, 1, 0]);
}

#[test]
fn a_call_of_a_subgraph_goes_with_its_root() {
    let [root, call, memory] = ["", "call:1", "memory"].map(|ns| CheckpointNs::new(ns).unwrap());
    let of = |root: &str, says| {
        let nodes = nodes(says).map(|(of, node)| {
            let root = (of == id("4")).then(|| root.to_owned());
            (of, Node { root, ..node })
        });
        namespace(nodes)
    };
    let left = |root_of_call: &str, says| -> BTreeMap<String, usize> {
        let mut thread = Namespaces::from([
            (root.clone(), of("", [""; 4])),
            (call.clone(), of(root_of_call, says)),
            (memory.clone(), of("1", [""; 4])),
        ]);
        let going = going(&mut thread, Removal::Old(&Retention::keep_last(1)));
        let count = |goes: &[bool]| goes.iter().filter(|goes| !**goes).count();
        (going.into_iter())
            .map(|(ns, going)| {
                assert_eq!(going.over, count(&going.goes) == 0);
                (ns.as_str().to_owned(), count(&going.goes))
            })
            .collect()
    };
    let expected = |of_call| {
        let counts = [("", 1), ("call:1", of_call), ("memory", 1)];
        BTreeMap::from(counts.map(|(ns, count)| (ns.to_owned(), count)))
    };
    assert_eq!(left("1", [""; 4]), expected(0));
    assert_eq!(left("4", [""; 4]), expected(1));
    assert_eq!(left("not stored", [""; 4]), expected(1));
    assert_eq!(left("1", ["", "p", "", ""]), expected(1));
}
