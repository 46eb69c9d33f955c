//! Removing old checkpoints, and those of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use db::{GenericClient, Row, Transaction};
use serde_json::{Map, Value};

use super::delete::counts;
use super::encode::encode_filter;
use super::engine::Engine;
use super::meter;
use super::sql::{LockedThread, NodesPage, RemovedCheckpoints, Runs, SweptThread};
use super::wire::Jsonb;
use crate::prune::{self, Kept, Node, Nodes};
use crate::{
    Checkpoint, CheckpointId, CheckpointNs, DeleteThread, Prune, PruneStrategy, Removed, Result,
    ThreadId, codec,
};

/// How many checkpoints a statement reads at most, and how many it removes: none takes long,
/// however long the thread is.
const READ_AT_ONCE: usize = 5_000;
const REMOVED_AT_ONCE: usize = 50_000;

/// What is removed from a thread.
#[derive(Debug)]
enum Removal {
    /// All but what the heads need.
    Old,
    /// Checkpoints whose metadata contains one of these, but for what the rest needs.
    Runs(Arc<[Vec<u8>]>),
}

impl Engine {
    pub(super) async fn prune(self: &Arc<Self>, prune: Prune) -> Result<Removed> {
        let mut all = Removed::default();
        let mut threads = prune.thread_ids.into_iter();
        for thread_id in threads.by_ref() {
            let removed = match prune.strategy {
                PruneStrategy::Delete => {
                    let delete = DeleteThread::new(&thread_id)?;
                    let removed = self.delete_thread(delete).await;
                    removed.inspect(|removed| meter::removed(removed.checkpoints))
                }
                PruneStrategy::KeepLatest => self.remove_from(&thread_id, Removal::Old).await,
            };
            if all.add(thread_id, removed).is_break() {
                break;
            }
        }
        all.untried = threads.collect();
        self.sweep_tombstones().await;
        Ok(all)
    }

    pub(super) async fn delete_for_runs(self: &Arc<Self>, run_ids: &[String]) -> Result<Removed> {
        // A run whose id can't be stored is in no metadata.
        let runs: Arc<[Vec<u8>]> = run_ids
            .iter()
            .filter_map(|run_id| {
                let filter = Map::from_iter([("run_id".to_owned(), Value::from(run_id.as_str()))]);
                encode_filter(Some(&filter)).flatten()
            })
            .collect();
        let filters = filters(&runs);
        let filters = Runs { runs: &filters };
        let asked = self.store.sql.threads_of_runs.with(&filters);
        let rows = self.store.query("find the threads of runs", asked).await?;
        let mut all = Removed::default();
        let mut threads = (rows.iter()).map(|row| ThreadId::trusted(row.get("thread_id")));
        for thread_id in threads.by_ref() {
            let removal = Removal::Runs(Arc::clone(&runs));
            let removed = self.remove_from(&thread_id, removal).await;
            if all.add(thread_id, removed).is_break() {
                break;
            }
        }
        all.untried = threads.collect();
        Ok(all)
    }

    /// Removes some of a thread's checkpoints, in its turn.
    async fn remove_from(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        removal: Removal,
    ) -> Result<Removed> {
        let turn = self.order.alone(thread_id).await;
        let (engine, thread_id) = (Arc::clone(self), thread_id.clone());
        self.finish(async move {
            let outcome = engine.remove_in_turn(&thread_id, &removal).await;
            drop(turn);
            outcome
        })
        .await
    }

    async fn remove_in_turn(&self, thread_id: &ThreadId, removal: &Removal) -> Result<Removed> {
        let removed = self
            .store
            .retry("remove checkpoints", || async {
                let database = &self.store.database;
                database
                    .transaction(async |tx| self.remove_in(tx, thread_id, removal).await)
                    .await
            })
            .await?;
        meter::removed(removed.checkpoints);
        self.store.chunks.forget(thread_id);
        Ok(removed)
    }

    /// Removes, and says how much.
    async fn remove_in(
        &self,
        tx: &Transaction<'_>,
        thread_id: &ThreadId,
        removal: &Removal,
    ) -> Result<Removed, db::Error> {
        let thread = LockedThread {
            thread_id: thread_id.as_str(),
            lease: None,
        };
        let lock = self.store.sql.lock_thread.with(&thread);
        tx.execute(&lock.statement, &lock.values).await?;
        let namespaces = self.namespaces(tx, thread_id, removal).await?;
        self.remove(tx, thread_id, &namespaces.going(removal)).await
    }

    /// Reads what decides which checkpoints go.
    async fn namespaces(
        &self,
        tx: &Transaction<'_>,
        thread_id: &ThreadId,
        removal: &Removal,
    ) -> Result<Namespaces, db::Error> {
        let filters = match removal {
            Removal::Old => Vec::new(),
            Removal::Runs(runs) => filters(runs),
        };
        let mut namespaces = Namespaces::default();
        let (mut last_ns, mut last_id) = (String::new(), String::new());
        loop {
            let page = NodesPage {
                thread_id: thread_id.as_str(),
                runs: &filters,
                last_ns: &last_ns,
                last_id: &last_id,
                limit: READ_AT_ONCE as i64,
            };
            let nodes = self.store.sql.nodes.with(&page);
            let rows = tx.query(&nodes.statement, &nodes.values).await?;
            for node in rows.iter().map(NodeRow::read) {
                last_ns = node.ns.as_str().to_owned();
                last_id = node.candidate.id.as_str().to_owned();
                namespaces.add(node);
            }
            if rows.len() < READ_AT_ONCE {
                return Ok(namespaces);
            }
        }
    }

    /// Removes checkpoints, and the chunks that only they needed.
    async fn remove(
        &self,
        tx: &Transaction<'_>,
        thread_id: &ThreadId,
        going: &Going,
    ) -> Result<Removed, db::Error> {
        let sql = &self.store.sql;
        let (mut checkpoints, mut writes) = (0, 0);
        let namespaces = going.namespaces.chunks(REMOVED_AT_ONCE);
        for (removed_ns, removed_ids) in namespaces.zip(going.ids.chunks(REMOVED_AT_ONCE)) {
            let removed = RemovedCheckpoints {
                thread_id: thread_id.as_str(),
                removed_ns,
                removed_ids,
                orphaned_ns: &going.orphaned_namespaces,
                orphaned_ids: &going.orphaned_ids,
                over_ns: &going.over,
                micros: self.retention.orphaned_writes,
            };
            let remove = sql.remove.with(&removed);
            let row = tx.query_opt(&remove.statement, &remove.values).await?;
            let counted = row.as_ref().map(counts).unwrap_or_default();
            checkpoints += counted.0;
            writes += counted.1;
        }
        if !going.ids.is_empty() {
            let thread = SweptThread {
                thread_id: thread_id.as_str(),
            };
            let sweep = sql.sweep_chunks.with(&thread);
            tx.execute(&sweep.statement, &sweep.values).await?;
        }
        Ok(Removed::counts(checkpoints, writes))
    }
}

/// Runs, as they are compared with metadata.
fn filters(runs: &[Vec<u8>]) -> Vec<Jsonb<'_>> {
    runs.iter().map(|run| Jsonb(run)).collect()
}

/// The checkpoints that go.
#[derive(Debug, Default)]
struct Going {
    namespaces: Vec<String>,
    ids: Vec<String>,
    /// Those that stay and whose parent goes.
    orphaned_namespaces: Vec<String>,
    orphaned_ids: Vec<String>,
    /// The namespaces of which nothing stays.
    over: Vec<String>,
}

/// A checkpoint as read, before it is taken into account.
struct Candidate {
    id: CheckpointId,
    parent: Option<CheckpointId>,
    filled: Vec<String>,
    versions: Vec<String>,
    written: Vec<String>,
    root: Option<String>,
    reads_sends_of_parent: bool,
    of_runs: bool,
}

/// A checkpoint with its namespace.
struct NodeRow {
    ns: CheckpointNs,
    /// The head of the namespace.
    head: CheckpointId,
    candidate: Candidate,
}

/// The checkpoints of a namespace, and its head.
struct Candidates {
    head: CheckpointId,
    checkpoints: Vec<Candidate>,
}

/// The checkpoints of a thread.
#[derive(Default)]
struct Namespaces(BTreeMap<CheckpointNs, Candidates>);

impl Namespaces {
    fn add(&mut self, node: NodeRow) {
        let none_yet = || Candidates {
            head: node.head,
            checkpoints: Vec::new(),
        };
        let candidates = self.0.entry(node.ns).or_insert_with(none_yet);
        candidates.checkpoints.push(node.candidate);
    }

    /// Chooses those that go.
    fn going(&self, removal: &Removal) -> Going {
        let Self(namespaces) = self;
        let nodes: BTreeMap<_, _> = namespaces
            .iter()
            .map(|(ns, found)| (ns, (Some(&found.head), found.nodes())))
            .collect();
        let kept: BTreeMap<&CheckpointNs, Kept<'_>> = match removal {
            Removal::Old => prune::latest(&nodes),
            Removal::Runs(_) => nodes
                .iter()
                .map(|(ns, (_, nodes))| {
                    let others = namespaces[*ns]
                        .checkpoints
                        .iter()
                        .filter(|checkpoint| !checkpoint.of_runs)
                        .map(|checkpoint| checkpoint.id.as_str())
                        .collect();
                    (*ns, nodes.with_needed(others))
                })
                .collect(),
        };
        let mut going = Going::default();
        for (ns, kept) in kept {
            let nodes = &nodes[ns].1.0;
            for checkpoint in &namespaces[ns].checkpoints {
                let goes = |id: &str| nodes.contains_key(id) && !kept.contains(id);
                let parent = checkpoint.parent.as_ref();
                if goes(checkpoint.id.as_str()) {
                    going.namespaces.push(ns.as_str().to_owned());
                    going.ids.push(checkpoint.id.as_str().to_owned());
                } else if parent.is_some_and(|parent| goes(parent.as_str())) {
                    let orphaned = &mut going.orphaned_namespaces;
                    orphaned.push(ns.as_str().to_owned());
                    going.orphaned_ids.push(checkpoint.id.as_str().to_owned());
                }
            }
            if kept.is_empty() && matches!(removal, Removal::Old) {
                going.over.push(ns.as_str().to_owned());
            }
        }
        going
    }
}

impl NodeRow {
    fn read(row: &Row) -> Self {
        Self {
            ns: CheckpointNs::trusted(row.get("checkpoint_ns")),
            head: CheckpointId::trusted(row.get("head")),
            candidate: Candidate::read(row),
        }
    }
}

impl Candidate {
    fn read(row: &Row) -> Self {
        let parent: Option<String> = row.get("parent_checkpoint_id");
        let written: Vec<&str> = row.get("written");
        Self {
            id: CheckpointId::trusted(row.get("checkpoint_id")),
            parent: parent.map(CheckpointId::trusted),
            filled: row.get("filled"),
            versions: row.get("versions"),
            written: written
                .into_iter()
                .map(|channel| codec::stored_key(channel).into_owned())
                .collect(),
            root: row.get("root"),
            // Without a version it can't be read, and removing it takes nothing else along.
            reads_sends_of_parent: row
                .get::<_, Option<i64>>("v")
                .is_none_or(|v| v < Checkpoint::CURRENT_V),
            of_runs: row.get("of_runs"),
        }
    }

    fn node(&self) -> Node<'_> {
        let filled: BTreeSet<&str> = self.filled.iter().map(String::as_str).collect();
        let versions = self.versions.iter().map(String::as_str);
        Node {
            parent: self.parent.as_ref(),
            empty: versions
                .filter(|channel| !filled.contains(channel))
                .collect(),
            filled,
            written: self.written.iter().map(String::as_str).collect(),
            reads_sends_of_parent: self.reads_sends_of_parent,
            root: self.root.as_deref(),
        }
    }
}

impl Candidates {
    fn nodes(&self) -> Nodes<'_> {
        let checkpoints = self.checkpoints.iter();
        Nodes(checkpoints.map(|c| (c.id.as_str(), c.node())).collect())
    }
}
