//! Removing old checkpoints, and those of runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use db::{GenericClient, Row, ToSql};
use serde_json::{Map, Value};

use super::encode::encode_filter;
use super::engine::Engine;
use super::jsonb::Jsonb;
use super::meter;
use crate::prune::{self, Kept, Node, Nodes};
use crate::{
    Checkpoint, CheckpointId, CheckpointNs, DeleteThread, Prune, PruneStrategy, Result, ThreadId,
    codec,
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
    pub(super) async fn prune(self: &Arc<Self>, prune: Prune) -> Result<()> {
        for thread_id in prune.thread_ids {
            match prune.strategy {
                PruneStrategy::Delete => self.delete_thread(DeleteThread::new(thread_id)?).await?,
                PruneStrategy::KeepLatest => self.thin(thread_id, Removal::Old).await?,
            }
        }
        self.sweep_tombstones().await;
        Ok(())
    }

    pub(super) async fn delete_for_runs(self: &Arc<Self>, run_ids: &[String]) -> Result<()> {
        // A run whose id can't be stored is in no metadata.
        let runs: Arc<[Vec<u8>]> = run_ids
            .iter()
            .filter_map(|run_id| {
                let filter = Map::from_iter([("run_id".to_owned(), Value::from(run_id.as_str()))]);
                encode_filter(Some(&filter)).flatten()
            })
            .collect();
        let parameter: Vec<Jsonb<'_>> = runs.iter().map(|run| Jsonb(run)).collect();
        let statement = &self.store.sql.threads_of_runs;
        let threads = self
            .store
            .query("find the threads of runs", statement, &[&parameter])
            .await?;
        for row in threads {
            let thread_id = ThreadId::trusted(row.get("thread_id"));
            self.thin(thread_id, Removal::Runs(Arc::clone(&runs)))
                .await?;
        }
        Ok(())
    }

    /// Removes some of a thread's checkpoints, in its turn.
    async fn thin(self: &Arc<Self>, thread_id: ThreadId, removal: Removal) -> Result<()> {
        let turn = self.order.alone(&thread_id).await;
        let engine = Arc::clone(self);
        self.finish(async move {
            let outcome = engine.thin_in_turn(&thread_id, &removal).await;
            drop(turn);
            outcome
        })
        .await
    }

    async fn thin_in_turn(&self, thread_id: &ThreadId, removal: &Removal) -> Result<()> {
        let runs: Vec<Jsonb<'_>> = match removal {
            Removal::Old => Vec::new(),
            Removal::Runs(runs) => runs.iter().map(|run| Jsonb(run)).collect(),
        };
        let removed = self
            .store
            .retry("remove checkpoints", || async {
                self.store
                    .database
                    .transaction(async |tx| {
                        let id = thread_id.as_str();
                        let lease: Option<&str> = None;
                        tx.execute(&self.store.sql.lock_thread, &[&id, &lease])
                            .await?;
                        let mut namespaces = Namespaces::default();
                        let mut last = [String::new(), String::new()];
                        loop {
                            let [ns, last_id] = &last;
                            let limit = READ_AT_ONCE as i64;
                            let parameters: [&(dyn ToSql + Sync); 5] =
                                [&id, &runs, ns, last_id, &limit];
                            let rows = tx.query(&self.store.sql.nodes, &parameters).await?;
                            namespaces.add(&rows);
                            match rows.last() {
                                Some(row) if rows.len() == READ_AT_ONCE => {
                                    last = [row.get("checkpoint_ns"), row.get("checkpoint_id")];
                                }
                                _ => break,
                            }
                        }
                        let removed = namespaces.removed(removal);
                        let (of, ids) = (
                            removed.namespaces.chunks(REMOVED_AT_ONCE),
                            removed.ids.chunks(REMOVED_AT_ONCE),
                        );
                        for (of, ids) in of.zip(ids) {
                            let parameters: [&(dyn ToSql + Sync); 7] = [
                                &id,
                                &of,
                                &ids,
                                &removed.orphaned_namespaces,
                                &removed.orphaned_ids,
                                &removed.over,
                                &self.retention.orphaned_writes,
                            ];
                            tx.execute(&self.store.sql.remove, &parameters).await?;
                        }
                        if !removed.ids.is_empty() {
                            tx.execute(&self.store.sql.sweep_chunks, &[&id]).await?;
                        }
                        Ok::<_, db::Error>(removed.ids.len())
                    })
                    .await
            })
            .await?;
        meter::removed(removed);
        self.store.cache.forget(thread_id);
        Ok(())
    }
}

/// The checkpoints that go.
#[derive(Debug, Default)]
struct Removed {
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

/// The checkpoints of a namespace, and its head.
struct Candidates {
    head: CheckpointId,
    checkpoints: Vec<Candidate>,
}

/// The checkpoints of a thread.
#[derive(Default)]
struct Namespaces(BTreeMap<CheckpointNs, Candidates>);

impl Namespaces {
    fn add(&mut self, rows: &[Row]) {
        for row in rows {
            let ns = CheckpointNs::trusted(row.get("checkpoint_ns"));
            let head = || Candidates {
                head: CheckpointId::trusted(row.get("head")),
                checkpoints: Vec::new(),
            };
            let candidates = self.0.entry(ns).or_insert_with(head);
            candidates.checkpoints.push(Candidate::read(row));
        }
    }

    /// Chooses those that go.
    fn removed(&self, removal: &Removal) -> Removed {
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
                    let others = namespaces[*ns].checkpoints.iter().filter(|c| !c.of_runs);
                    let others = others.map(|checkpoint| checkpoint.id.as_str()).collect();
                    (*ns, nodes.with_needed(others))
                })
                .collect(),
        };
        let mut removed = Removed::default();
        for (ns, kept) in kept {
            let nodes = &nodes[ns].1.0;
            for checkpoint in &namespaces[ns].checkpoints {
                let goes = |id: &str| nodes.contains_key(id) && !kept.contains(id);
                let parent = checkpoint.parent.as_ref();
                if goes(checkpoint.id.as_str()) {
                    removed.namespaces.push(ns.as_str().to_owned());
                    removed.ids.push(checkpoint.id.as_str().to_owned());
                } else if parent.is_some_and(|parent| goes(parent.as_str())) {
                    let orphaned = &mut removed.orphaned_namespaces;
                    orphaned.push(ns.as_str().to_owned());
                    removed.orphaned_ids.push(checkpoint.id.as_str().to_owned());
                }
            }
            if kept.is_empty() && matches!(removal, Removal::Old) {
                removed.over.push(ns.as_str().to_owned());
            }
        }
        removed
    }
}

impl Candidate {
    fn read(row: &Row) -> Self {
        let parent: Option<String> = row.get("parent_checkpoint_id");
        let written: Vec<&str> = row.get("written");
        let written = written.into_iter();
        Self {
            id: CheckpointId::trusted(row.get("checkpoint_id")),
            parent: parent.map(CheckpointId::trusted),
            filled: row.get("filled"),
            versions: row.get("versions"),
            written: written
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
