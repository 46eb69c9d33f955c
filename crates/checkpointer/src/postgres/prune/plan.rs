//! Which checkpoints of a thread go, and in which order: read and decided without a lock.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Mutex;

use db::Row;

use super::since::Since;
use super::{Removal, filters};
use crate::postgres::engine::Engine;
use crate::postgres::sql::{Asked, JudgedThread, NodesPage, micros};
use crate::postgres::wire::Jsonb;
use crate::prune::{self, Channels, Going, Namespaces, Node, channels};
use crate::{Checkpoint, CheckpointId, CheckpointNs, Result, ThreadId, codec};

/// The number of the root graph's namespace, where another one goes with it: its name is the first.
const ROOT: usize = 0;

/// How many checkpoints a statement reads at most: none takes long, however long the thread is.
const READ_AT_ONCE: usize = 5_000;

/// What goes of a thread.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) thread_id: ThreadId,
    pub(super) generation: i64,
    pub(super) removal: Removal,
    /// Its namespaces, as they were read.
    pub(super) names: Vec<CheckpointNs>,
    pub(super) namespaces: Vec<Planned>,
    /// What goes, in the order in which it goes: the number of the namespace, and the place in it.
    pub(super) order: Vec<(usize, usize)>,
    /// What was put since it was planned, as far as that is known to need nothing that goes.
    pub(super) since: Mutex<Since>,
    /// Whether an earlier removal has left chunks.
    unswept: bool,
}

/// What goes of a namespace.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) known: prune::Namespace,
    pub(super) going: Going,
    /// Those that stay, by the parent that they lose.
    pub(super) orphaned: HashMap<usize, Vec<usize>>,
    /// What becomes the head if the head goes.
    pub(super) next_head: Option<usize>,
}

/// A checkpoint as it was read, with its namespace.
#[derive(Debug)]
pub(super) struct NodeRow {
    pub(super) ns: CheckpointNs,
    pub(super) id: CheckpointId,
    head: CheckpointId,
    pub(super) head_seq: i64,
    pub(super) node: Node,
}

/// Keeps one copy of equal sets of names.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Channels>);

impl Plan {
    /// Whether chunks may be left that nothing needs.
    pub(super) fn leaves_chunks(&self) -> bool {
        self.unswept || !self.order.is_empty()
    }

    /// The namespaces that go as a whole.
    pub(super) fn over(&self) -> Vec<String> {
        let all = self.names.iter().zip(&self.namespaces);
        let over = all.filter(|(_, planned)| planned.going.over);
        over.map(|(ns, _)| ns.as_str().to_owned()).collect()
    }

    pub(super) fn number_of(&self, ns: &CheckpointNs) -> Option<usize> {
        self.names.binary_search(ns).ok()
    }

    /// Whether a checkpoint goes.
    pub(super) fn goes(&self, ns: &CheckpointNs, id: &CheckpointId) -> bool {
        (self.number_of(ns)).is_some_and(|number| self.namespaces[number].goes(id))
    }

    /// The numbers of the namespaces of a part of it, with that of the root graph where others go with it.
    pub(super) fn numbers_in(&self, part: &[(usize, usize)]) -> BTreeSet<usize> {
        let mut numbers: BTreeSet<usize> = part.iter().map(|(number, _)| *number).collect();
        let is_call = |number: &usize| self.namespaces[*number].going.with_root.is_some();
        if numbers.iter().any(is_call) {
            numbers.insert(ROOT);
        }
        numbers
    }

    /// The namespaces of a part of it whose head goes, with what becomes the head there. Where nothing
    /// stays, no head does.
    pub(super) fn next_heads(&self, part: &[(usize, usize)]) -> (Vec<String>, Vec<String>) {
        (self.numbers_in(part).into_iter())
            .filter_map(|number| {
                let planned = &self.namespaces[number];
                let head = planned.known.head.as_ref()?;
                let next = planned.next_head.filter(|_| planned.goes(head))?;
                Some(self.names_of(number, next))
            })
            .unzip()
    }

    /// The namespace and the id of a checkpoint.
    pub(super) fn names_of(&self, number: usize, place: usize) -> (String, String) {
        let (id, _) = self.namespaces[number].known.nodes.get(place);
        let ns = self.names[number].as_str().to_owned();
        (ns, id.as_str().to_owned())
    }
}

impl Engine {
    /// Plans a removal; none if there is no thread.
    pub(super) async fn plan(
        &self,
        thread_id: &ThreadId,
        removal: Removal,
    ) -> Result<Option<Plan>> {
        let thread = JudgedThread {
            thread_id: thread_id.as_str(),
            lease: None,
            only: None,
            except: None,
            rests: None,
        };
        let asked = self.store.sql.judge_thread.with(&thread);
        let row = self.store.query_opt("look at a thread", asked).await?;
        let Some(row) = row.filter(|row| !row.get::<_, bool>("deleted")) else {
            return Ok(None);
        };
        let (mut namespaces, head_seqs) = self.namespaces(thread_id, &removal).await?;
        let going = prune::going(&mut namespaces, removal.as_asked());
        let (names, namespaces): (Vec<_>, Vec<_>) = (namespaces.into_iter().zip(going))
            .map(|((ns, known), (_, going))| (ns, Planned::new(known, going)))
            .unzip();
        Ok(Some(Plan {
            thread_id: thread_id.clone(),
            generation: row.get("generation"),
            order: order(&namespaces),
            unswept: row.get("unswept"),
            since: Mutex::new(Since::new(head_seqs)),
            removal,
            names,
            namespaces,
        }))
    }

    /// Reads what decides which checkpoints go.
    async fn namespaces(
        &self,
        thread_id: &ThreadId,
        removal: &Removal,
    ) -> Result<(Namespaces, BTreeMap<CheckpointNs, i64>)> {
        let runs = removal.filters();
        let asked = removal.asked(thread_id, &runs);
        let (mut namespaces, mut head_seqs) = (Namespaces::new(), BTreeMap::new());
        let mut names = Names::default();
        let (mut last_ns, mut last_id) = (String::new(), String::new());
        loop {
            let page = NodesPage {
                last_ns: &last_ns,
                last_id: &last_id,
                limit: READ_AT_ONCE as i64,
            };
            let page = self.store.sql.nodes.with((&asked, &page));
            let rows = self.store.query("look at checkpoints", page).await?;
            let is_last = rows.len() < READ_AT_ONCE;
            for row in rows {
                let row = NodeRow::read(&row, &mut names);
                last_ns = row.ns.as_str().to_owned();
                last_id = row.id.as_str().to_owned();
                // What was read first counts: what was put since is noticed under the lock.
                head_seqs.entry(row.ns.clone()).or_insert(row.head_seq);
                let namespace = namespaces
                    .entry(row.ns)
                    .or_insert_with(|| prune::Namespace {
                        head: Some(row.head),
                        ..Default::default()
                    });
                namespace.nodes.push(row.id, row.node);
            }
            if is_last {
                return Ok((namespaces, head_seqs));
            }
        }
    }
}

impl Removal {
    fn as_asked(&self) -> prune::Removal<'_> {
        match self {
            Self::Old(policy) => prune::Removal::Old(policy),
            Self::Runs(_) => prune::Removal::Runs,
        }
    }

    /// Whether what is pinned stays.
    pub(super) fn heeds_pins(&self) -> bool {
        matches!(self, Self::Old(_))
    }

    pub(super) fn filters(&self) -> Vec<Jsonb<'_>> {
        match self {
            Self::Old(_) => Vec::new(),
            Self::Runs(runs) => filters(runs),
        }
    }

    pub(super) fn asked<'a>(&self, thread_id: &'a ThreadId, runs: &'a [Jsonb<'a>]) -> Asked<'a> {
        let young = match self {
            Self::Old(policy) => policy.newer_than.map(micros),
            Self::Runs(_) => None,
        };
        Asked {
            thread_id: thread_id.as_str(),
            runs,
            young,
        }
    }
}

/// What goes of all namespaces, in the order in which it goes: what belongs to a checkpoint of the root
/// graph directly before it. That checkpoint is what shows that it goes, however often a removal is cut
/// short.
fn order(namespaces: &[Planned]) -> Vec<(usize, usize)> {
    let mut calls: HashMap<usize, Vec<usize>> = HashMap::new();
    for (number, planned) in namespaces.iter().enumerate() {
        if let Some(root) = planned.going.with_root {
            calls.entry(root).or_default().push(number);
        }
    }
    let mut order = Vec::new();
    for (number, planned) in namespaces.iter().enumerate() {
        if planned.going.with_root.is_some() {
            continue;
        }
        for place in planned.order() {
            let calls = match number {
                ROOT => calls.remove(&place).unwrap_or_default(),
                _ => Vec::new(),
            };
            for call in calls {
                let places = namespaces[call].order().into_iter();
                order.extend(places.map(|place| (call, place)));
            }
            order.push((number, place));
        }
    }
    order
}

impl Planned {
    fn new(known: prune::Namespace, going: Going) -> Self {
        let nodes = &known.nodes;
        let mut orphaned: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut next_head: Option<usize> = None;
        for place in (0..nodes.len()).filter(|place| !going.goes[*place]) {
            let seq = |place: usize| nodes.get(place).1.seq;
            if next_head.is_none_or(|last| seq(last) < seq(place)) {
                next_head = Some(place);
            }
            if let Some(parent) = nodes.parent_of(place).filter(|parent| going.goes[*parent]) {
                orphaned.entry(parent).or_default().push(place);
            }
        }
        Self {
            known,
            going,
            orphaned,
            next_head,
        }
    }

    /// Whether a checkpoint goes.
    pub(super) fn goes(&self, id: &CheckpointId) -> bool {
        let place = self.known.nodes.place_of(id);
        place.is_some_and(|place| self.going.goes[place])
    }

    /// What goes, each before its ancestors. Where nothing stays, the head goes last: without a head a
    /// namespace isn't found any more.
    fn order(&self) -> Vec<usize> {
        let mut order = self.known.nodes.leaves_first(&self.going.goes);
        if self.next_head.is_none()
            && let Some(head) = self.known.head.as_ref()
            && let Some(head) = self.known.nodes.place_of(head)
        {
            order.retain(|place| *place != head);
            order.push(head);
        }
        order
    }
}

impl NodeRow {
    pub(super) fn read(row: &Row, names: &mut Names) -> Self {
        let parent: Option<String> = row.get("parent_checkpoint_id");
        let filled: Vec<String> = row.get("filled");
        let versions: Vec<String> = row.get("versions");
        let written: Vec<&str> = row.get("written");
        let empty = versions.iter().filter(|channel| !filled.contains(channel));
        let node = Node {
            parent: parent.map(CheckpointId::trusted),
            seq: row.get("seq"),
            empty: names.one(channels(empty)),
            filled: names.one(channels(filled)),
            written: names.one(channels(written.into_iter().map(codec::stored_key))),
            // Without a version it can't be read, and removing it takes nothing else along.
            reads_sends_of_parent: row
                .get::<_, Option<i64>>("v")
                .is_none_or(|v| v < Checkpoint::CURRENT_V),
            root: row.get("root"),
            pinned: row.get("pinned"),
            young: row.get("young"),
            of_runs: row.get("of_runs"),
        };
        Self {
            ns: CheckpointNs::trusted(row.get("checkpoint_ns")),
            id: CheckpointId::trusted(row.get("checkpoint_id")),
            head: CheckpointId::trusted(row.get("head")),
            head_seq: row.get("head_seq"),
            node,
        }
    }
}

impl Names {
    fn one(&mut self, names: Channels) -> Channels {
        if let Some(known) = self.0.get(&names) {
            return Channels::clone(known);
        }
        self.0.insert(Channels::clone(&names));
        names
    }
}
