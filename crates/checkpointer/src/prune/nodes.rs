//! The checkpoints of a namespace, as far as they matter to each other.

use std::collections::{BTreeSet, HashMap};
use std::iter;
use std::sync::Arc;

use crate::CheckpointId;

/// Names of channels, in their order. Most checkpoints of a thread share them.
pub(crate) type Channels = Arc<[String]>;

/// What a checkpoint needs of others, and others of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node {
    pub(crate) parent: Option<CheckpointId>,
    /// The place in the order in which the namespace's checkpoints were put.
    pub(crate) seq: i64,
    /// The channels that have a value.
    pub(crate) filled: Channels,
    /// The channels that have a version and no value.
    pub(crate) empty: Channels,
    /// The channels its pending writes are for.
    pub(crate) written: Channels,
    /// Whether it is of a format in which the sends are read from the parent's writes.
    pub(crate) reads_sends_of_parent: bool,
    /// The root graph's checkpoint that a subgraph's belongs to.
    pub(crate) root: Option<String>,
    pub(crate) pinned: bool,
    /// Whether it is newer than the age that is asked for.
    pub(crate) young: bool,
    /// Whether it is of one of the runs that are asked for.
    pub(crate) of_runs: bool,
}

/// The checkpoints of one namespace, by their place in it.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    list: Vec<(CheckpointId, Node)>,
    places: HashMap<CheckpointId, usize>,
    /// What is at a checkpoint or above it, by channel: what was asked for so far.
    above: HashMap<String, Vec<Option<Above>>>,
}

/// What a walk towards the first checkpoint meets, as far as the nearest value of a channel.
#[derive(Debug, Clone, Copy, Default)]
struct Above {
    /// Whether there are writes for it.
    written: bool,
    /// Whether there is a value.
    seeded: bool,
}

/// Whether a name is among those.
pub(crate) fn has(channels: &Channels, channel: &str) -> bool {
    channels
        .binary_search_by(|name| name.as_str().cmp(channel))
        .is_ok()
}

/// Names of channels as a node has them.
pub(crate) fn channels<Name: Into<String>>(names: impl IntoIterator<Item = Name>) -> Channels {
    let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
    names.into_iter().collect()
}

impl FromIterator<(CheckpointId, Node)> for Nodes {
    fn from_iter<T: IntoIterator<Item = (CheckpointId, Node)>>(nodes: T) -> Self {
        let mut all = Self::default();
        for (id, node) in nodes {
            all.push(id, node);
        }
        all
    }
}

impl Nodes {
    pub(crate) fn push(&mut self, id: CheckpointId, node: Node) {
        self.places.insert(id.clone(), self.list.len());
        self.list.push((id, node));
    }

    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn get(&self, place: usize) -> (&CheckpointId, &Node) {
        let (id, node) = &self.list[place];
        (id, node)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&CheckpointId, &Node)> {
        self.list.iter().map(|(id, node)| (id, node))
    }

    pub(crate) fn place_of(&self, id: &CheckpointId) -> Option<usize> {
        self.places.get(id).copied()
    }

    pub(crate) fn parent_of(&self, place: usize) -> Option<usize> {
        self.place_of(self.list[place].1.parent.as_ref()?)
    }

    /// Adds the ancestors from whose writes those in `kept` are rebuilt.
    ///
    /// A channel with a version and no value was either emptied or is stored as writes. It is the
    /// latter if there are writes for it since the nearest ancestor that has a value.
    pub(crate) fn add_needed(&mut self, kept: &mut [bool]) {
        let asking: Vec<usize> = (0..self.len()).filter(|place| kept[*place]).collect();
        let empty: BTreeSet<Channels> = (asking.iter())
            .map(|place| Arc::clone(&self.list[*place].1.empty))
            .collect();
        let empty: BTreeSet<&String> = empty.iter().flat_map(|names| names.iter()).collect();
        for channel in empty {
            let asking =
                (asking.iter().copied()).filter(|place| has(&self.list[*place].1.empty, channel));
            let from: Vec<usize> = asking.filter_map(|place| self.parent_of(place)).collect();
            self.look_above(&from, channel);
            let mut seen = [vec![false; self.len()], vec![false; self.len()]];
            for from in from {
                for (needed, written) in self.needed(Some(from), channel, false) {
                    if std::mem::replace(&mut seen[usize::from(written)][needed], true) {
                        break;
                    }
                    kept[needed] = true;
                }
            }
        }
    }

    /// Walks from a checkpoint towards the first, as long as the next one is needed by a descendant
    /// in which the channel is stored as writes; `written` says whether there are writes in between.
    pub(crate) fn needed<'a>(
        &'a self,
        from: Option<usize>,
        channel: &'a str,
        written: bool,
    ) -> impl Iterator<Item = (usize, bool)> + 'a {
        let next = move |place: Option<usize>, written: bool| {
            let place = place?;
            let above = self.above(place, channel);
            (above.written || above.seeded && written).then_some((place, written))
        };
        iter::successors(next(from, written), move |(place, written)| {
            let (_, node) = self.get(*place);
            if has(&node.filled, channel) {
                return None;
            }
            next(
                self.parent_of(*place),
                *written || has(&node.written, channel),
            )
        })
        .take(self.len())
    }

    /// What is at a checkpoint or above it.
    fn above(&self, place: usize, channel: &str) -> Above {
        let known = self.above.get(channel);
        let (walked, last) =
            self.walk(place, channel, |place| known.and_then(|known| known[place]));
        (walked.into_iter().rev()).fold(last, |above, place| self.at(place, channel, above))
    }

    /// Finds out what is above each of those, and remembers it: no checkpoint is visited twice.
    fn look_above(&mut self, from: &[usize], channel: &str) {
        let known = self.above.remove(channel);
        let mut known = known.unwrap_or_else(|| vec![None; self.len()]);
        for from in from {
            let (walked, mut above) = self.walk(*from, channel, |place| known[place]);
            for place in walked.into_iter().rev() {
                above = self.at(place, channel, above);
                known[place] = Some(above);
            }
        }
        self.above.insert(channel.to_owned(), known);
    }

    /// The checkpoints from one on that aren't known, up to one with a value, and what comes after
    /// them. Stored links may form a ring.
    fn walk(
        &self,
        from: usize,
        channel: &str,
        known: impl Fn(usize) -> Option<Above>,
    ) -> (Vec<usize>, Above) {
        let mut walked = Vec::new();
        let mut at = Some(from);
        while let Some(place) = at.filter(|_| walked.len() < self.len()) {
            if let Some(above) = known(place) {
                return (walked, above);
            }
            walked.push(place);
            let (_, node) = self.get(place);
            at = (!has(&node.filled, channel))
                .then(|| self.parent_of(place))
                .flatten();
        }
        (walked, Above::default())
    }

    /// The same of a checkpoint, by what is above it.
    fn at(&self, place: usize, channel: &str, above: Above) -> Above {
        let (_, node) = self.get(place);
        Above {
            written: above.written || has(&node.written, channel),
            seeded: above.seeded || has(&node.filled, channel),
        }
    }

    /// The places of those that `goes` says, each before its ancestors: what is left at any time has
    /// all that it is rebuilt from.
    pub(crate) fn leaves_first(&self, goes: &[bool]) -> Vec<usize> {
        let mut by_seq: Vec<usize> = (0..self.len()).filter(|place| goes[*place]).collect();
        by_seq.sort_by_key(|place| self.list[*place].1.seq);
        let mut placed = vec![false; self.len()];
        let mut ancestors_first = Vec::with_capacity(by_seq.len());
        for place in by_seq {
            let mut chain = Vec::new();
            let mut at = Some(place);
            while let Some(place) = at.filter(|place| goes[*place] && !placed[*place]) {
                placed[place] = true;
                chain.push(place);
                at = self.parent_of(place);
            }
            ancestors_first.extend(chain.into_iter().rev());
        }
        ancestors_first.reverse();
        ancestors_first
    }
}
