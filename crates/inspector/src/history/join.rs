//! How the checkpoints of a thread belong together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use checkpointer::{CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple};

use super::{Line, Node};

/// Divides checkpoints by their namespaces, and joins each with its parent, its children and the
/// subgraphs that were called from it.
pub(super) fn lines(tuples: Vec<CheckpointTuple>) -> Vec<Line> {
    let mut by_ns: BTreeMap<_, Vec<Node>> = BTreeMap::new();
    for tuple in tuples {
        let checkpoint_ns = tuple.address.checkpoint_ns.clone();
        by_ns.entry(checkpoint_ns).or_default().push(node(tuple));
    }
    let mut lines: Vec<Line> = by_ns.into_iter().map(line).collect();
    note_subgraphs(&mut lines);
    lines
}

fn node(tuple: CheckpointTuple) -> Node {
    Node {
        within: within(&tuple),
        is_head: false,
        children: Vec::new(),
        parent_missing: tuple.parent_address.is_some(),
        subgraphs: Vec::new(),
        tuple,
    }
}

/// The checkpoint of the nearest enclosing graph, as the metadata has it under `parents`.
fn within(tuple: &CheckpointTuple) -> Option<CheckpointAddress> {
    let own = tuple.address.checkpoint_ns.as_str();
    let mut enclosing = own;
    while !enclosing.is_empty() {
        enclosing = enclosing.rsplit_once('|').map_or("", |(outer, _)| outer);
        if let Some(id) = tuple.metadata.parent_in(enclosing) {
            let address = tuple.address.sibling(CheckpointId::new(id).ok()?);
            return Some(address.in_ns(CheckpointNs::new(enclosing).ok()?));
        }
    }
    None
}

fn line((checkpoint_ns, mut nodes): (CheckpointNs, Vec<Node>)) -> Line {
    let places: HashMap<CheckpointId, usize> = (nodes.iter().enumerate())
        .map(|(place, node)| (node.id().clone(), place))
        .collect();
    let parents: Vec<Option<usize>> = (nodes.iter())
        .map(|node| places.get(node.parent_id()?).copied())
        .collect();
    for (child, parent) in parents.iter().enumerate() {
        let Some(parent) = *parent else { continue };
        nodes[child].parent_missing = false;
        let id = nodes[child].id().clone();
        nodes[parent].children.push(id);
    }
    let mut nodes = sorted(nodes, &parents);
    hand_down_callers(&mut nodes);
    Line {
        checkpoint_ns,
        head: None,
        nodes,
    }
}

/// A checkpoint that doesn't say from where its graph was called belongs to the call of its parent.
fn hand_down_callers(nodes: &mut [Node]) {
    let mut callers: HashMap<CheckpointId, CheckpointAddress> = HashMap::new();
    for node in nodes.iter_mut().rev() {
        if node.within.is_none() {
            node.within = node.parent_id().and_then(|id| callers.get(id)).cloned();
        }
        if let Some(caller) = &node.within {
            callers.insert(node.id().clone(), caller.clone());
        }
    }
}

/// Puts each node before its parent, and otherwise leaves their order.
fn sorted(nodes: Vec<Node>, parents: &[Option<usize>]) -> Vec<Node> {
    let mut children: Vec<usize> = nodes.iter().map(|node| node.children.len()).collect();
    let mut ready: BinaryHeap<_> = (0..nodes.len())
        .filter(|place| children[*place] == 0)
        .map(Reverse)
        .collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(place)) = ready.pop() {
        order.push(place);
        if let Some(parent) = parents[place] {
            children[parent] -= 1;
            if children[parent] == 0 {
                ready.push(Reverse(parent));
            }
        }
    }
    // Checkpoints that are each other's ancestors: nothing forbids to put them.
    order.extend((0..nodes.len()).filter(|place| children[*place] > 0));
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    (order.into_iter())
        .filter_map(|place| nodes[place].take())
        .collect()
}

fn note_subgraphs(lines: &mut [Line]) {
    let mut called: HashMap<CheckpointAddress, Vec<CheckpointNs>> = HashMap::new();
    for line in &*lines {
        for address in line.nodes.iter().filter_map(|node| node.within.clone()) {
            let subgraphs = called.entry(address).or_default();
            // The lines are in the order of their names.
            if subgraphs.last() != Some(&line.checkpoint_ns) {
                subgraphs.push(line.checkpoint_ns.clone());
            }
        }
    }
    for node in lines.iter_mut().flat_map(|line| &mut line.nodes) {
        node.subgraphs = called.remove(&node.tuple.address).unwrap_or_default();
    }
}
