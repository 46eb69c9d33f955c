//! Which checkpoints stay when old ones are removed.

mod nodes;

use std::collections::BTreeMap;

use crate::{CheckpointId, CheckpointNs, Retention};
pub(crate) use nodes::{Channels, Node, Nodes, channels, has};

/// The checkpoints of one namespace.
#[derive(Debug, Default)]
pub(crate) struct Namespace {
    pub(crate) head: Option<CheckpointId>,
    pub(crate) nodes: Nodes,
}

/// The checkpoints of a thread.
pub(crate) type Namespaces = BTreeMap<CheckpointNs, Namespace>;

/// What is removed from a thread.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Removal<'a> {
    /// All that a policy doesn't keep.
    Old(&'a Retention),
    /// The checkpoints of runs.
    Runs,
}

/// What goes of a namespace.
#[derive(Debug)]
pub(crate) struct Going {
    /// Whether each checkpoint goes, by its place.
    pub(crate) goes: Vec<bool>,
    /// Whether the namespace goes as a whole, with the writes whose checkpoint never came.
    pub(crate) over: bool,
    /// The place of the root graph's checkpoint with which it goes, if it belongs to one that goes.
    pub(crate) with_root: Option<usize>,
}

/// The channel in which old formats keep their sends.
const SENDS: &str = "__pregel_tasks";

/// Chooses what goes: all but what is kept, and what that is rebuilt from.
pub(crate) fn going(
    thread: &mut Namespaces,
    removal: Removal<'_>,
) -> BTreeMap<CheckpointNs, Going> {
    match removal {
        Removal::Old(policy) => old(thread, policy),
        Removal::Runs => (thread.iter_mut())
            .map(|(ns, namespace)| (ns.clone(), Going::but_for(namespace.without_runs(), None)))
            .collect(),
    }
}

/// The same by a policy.
///
/// A namespace with a `:` belongs to one call of a subgraph: it goes as a whole, but for its pinned
/// checkpoints, when the root graph's checkpoint it belongs to is stored and doesn't stay.
fn old(thread: &mut Namespaces, policy: &Retention) -> BTreeMap<CheckpointNs, Going> {
    let kept_roots = (thread.get_mut(&CheckpointNs::ROOT)).map(|root| root.kept(policy));
    let roots = thread.get(&CheckpointNs::ROOT);
    let root_that_goes = |namespace: &Namespace| {
        let root = CheckpointId::new(namespace.root()?).ok()?;
        let place = roots?.nodes.place_of(&root)?;
        (!kept_roots.as_ref()?[place]).then_some(place)
    };
    let over: BTreeMap<CheckpointNs, usize> = (thread.iter())
        .filter(|(ns, _)| ns.as_str().contains(':'))
        .filter_map(|(ns, namespace)| Some((ns.clone(), root_that_goes(namespace)?)))
        .collect();
    (thread.iter_mut())
        .map(|(ns, namespace)| {
            let with_root = over.get(ns).copied();
            let kept = match with_root {
                Some(_) => namespace.pinned(),
                None => namespace.kept(policy),
            };
            (ns.clone(), Going::but_for(kept, with_root))
        })
        .collect()
}

impl Going {
    fn but_for(kept: Vec<bool>, with_root: Option<usize>) -> Self {
        Self {
            over: with_root.is_some() && !kept.contains(&true),
            goes: kept.into_iter().map(|kept| !kept).collect(),
            with_root,
        }
    }
}

impl Namespace {
    /// The root graph's checkpoint that it belongs to.
    fn root(&self) -> Option<&str> {
        let head = self.nodes.place_of(self.head.as_ref()?)?;
        self.nodes.get(head).1.root.as_deref()
    }

    fn pinned(&mut self) -> Vec<bool> {
        self.with_needed(self.nodes.iter().map(|(_, node)| node.pinned).collect())
    }

    fn without_runs(&mut self) -> Vec<bool> {
        self.with_needed(self.nodes.iter().map(|(_, node)| !node.of_runs).collect())
    }

    /// What a policy keeps.
    fn kept(&mut self, policy: &Retention) -> Vec<bool> {
        let nodes = &self.nodes;
        let last = self.first_of_last(policy.last);
        let mut kept: Vec<bool> = (nodes.iter())
            .map(|(id, node)| {
                let is_head = self.head.as_ref() == Some(id);
                is_head || node.pinned || node.young || node.seq >= last
            })
            .collect();
        if policy.fork_tips {
            let parents = (0..nodes.len()).filter_map(|place| nodes.parent_of(place));
            let mut tips = vec![true; nodes.len()];
            parents.for_each(|parent| tips[parent] = false);
            (kept.iter_mut().zip(tips)).for_each(|(kept, tip)| *kept |= tip);
        }
        self.add_senders(&mut kept);
        self.with_needed(kept)
    }

    /// The place in the order of the first of the last so many.
    fn first_of_last(&self, last: usize) -> i64 {
        let mut seqs: Vec<i64> = self.nodes.iter().map(|(_, node)| node.seq).collect();
        if seqs.len() <= last {
            return i64::MIN;
        }
        let (_, first, _) = seqs.select_nth_unstable_by(last - 1, |left, right| right.cmp(left));
        *first
    }

    /// Adds the parents of which those of an old format read the sends.
    fn add_senders(&self, kept: &mut [bool]) {
        let reading = (0..kept.len()).filter(|place| {
            let (_, node) = self.nodes.get(*place);
            kept[*place] && node.reads_sends_of_parent
        });
        let senders: Vec<usize> = reading
            .filter_map(|place| self.nodes.parent_of(place))
            .filter(|parent| has(&self.nodes.get(*parent).1.written, SENDS))
            .collect();
        senders.into_iter().for_each(|sender| kept[sender] = true);
    }

    fn with_needed(&mut self, mut kept: Vec<bool>) -> Vec<bool> {
        self.nodes.add_needed(&mut kept);
        kept
    }
}

#[cfg(test)]
mod tests;
