//! What was put to a thread since a removal was planned: whether it can do without what goes.
//!
//! It is read without the lock before each step, so that little is left to look at under the lock,
//! however fast the thread's writer is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use db::{GenericClient, Row};

use super::plan::{Names, NodeRow, Plan};
use crate::postgres::engine::Engine;
use crate::postgres::sql::KnownSeqs;
use crate::prune::{Node, has};
use crate::{CheckpointId, CheckpointNs, Result};

/// The checkpoints that were put since, and need nothing that goes.
#[derive(Debug)]
pub(super) struct Since {
    nodes: HashMap<CheckpointNs, HashMap<CheckpointId, Node>>,
    /// How many checkpoints were put to each namespace, as far as they are known.
    head_seqs: BTreeMap<CheckpointNs, i64>,
}

/// Whether a plan can be carried out as it is.
#[derive(Debug)]
pub(super) enum Standing {
    Stands,
    /// Something has come that it doesn't take into account.
    Fallen,
    /// Much was put since.
    Behind,
}

pub(super) fn lock(since: &Mutex<Since>) -> MutexGuard<'_, Since> {
    since.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Since {
    pub(super) fn new(head_seqs: BTreeMap<CheckpointNs, i64>) -> Self {
        Self {
            nodes: HashMap::new(),
            head_seqs,
        }
    }

    /// How many checkpoints were put to a namespace of the plan, as far as they are known.
    pub(super) fn head_seq(&self, ns: &CheckpointNs) -> i64 {
        self.head_seqs.get(ns).copied().unwrap_or(0)
    }

    fn get(&self, ns: &CheckpointNs, id: &CheckpointId) -> Option<&Node> {
        self.nodes.get(ns)?.get(id)
    }

    /// Whether those are all that were put: each follows another one. It isn't so if there is a fork
    /// among them.
    fn are_all(&self, rows: &[NodeRow]) -> bool {
        let mut left: HashMap<&CheckpointNs, i64> = HashMap::new();
        for row in rows {
            let put = row.head_seq - self.head_seq(&row.ns);
            *left.entry(&row.ns).or_insert(put) -= 1;
        }
        left.values().all(|left| *left == 0)
    }

    /// Takes rows into account; false if one needs what goes.
    fn add(&mut self, plan: &Plan, rows: Vec<NodeRow>) -> bool {
        if !self.are_all(&rows) {
            return false;
        }
        let names: Vec<_> = (rows.iter())
            .map(|row| (row.ns.clone(), row.id.clone()))
            .collect();
        for row in rows {
            self.head_seqs.insert(row.ns.clone(), row.head_seq);
            self.nodes
                .entry(row.ns)
                .or_default()
                .insert(row.id, row.node);
        }
        (names.iter()).all(|(ns, id)| plan.can_do_without(ns, id, self))
    }
}

impl Engine {
    /// Takes into account what was put since, without a lock; false if something needs what goes.
    pub(super) async fn catch_up(&self, plan: &Plan, part: &[(usize, usize)]) -> Result<bool> {
        let standing = self
            .store
            .retry("look at what was put", || async {
                let connection = self.store.database.get().await?;
                self.judge_since(&connection, plan, part).await
            })
            .await?;
        Ok(matches!(standing, Standing::Stands))
    }

    /// Reads what was put to the namespaces of a part of a plan, and takes it into account.
    pub(super) async fn judge_since(
        &self,
        client: &impl GenericClient,
        plan: &Plan,
        part: &[(usize, usize)],
    ) -> Result<Standing, db::Error> {
        let known_ns = plan.names_in(part);
        let known_seqs: Vec<i64> = {
            let since = lock(&plan.since);
            let names = known_ns.iter().cloned().map(CheckpointNs::trusted);
            names.map(|ns| since.head_seq(&ns)).collect()
        };
        let known = KnownSeqs {
            known_ns: &known_ns,
            known_seqs: &known_seqs,
        };
        let runs = plan.removal.filters();
        let asked = plan.removal.asked(&plan.thread_id, &runs);
        let asked = self.store.sql.new_nodes.with((&asked, &known));
        let rows = client.query(&asked.statement, &asked.values).await?;
        Ok(match lock(&plan.since).add(plan, read(&rows)) {
            true => Standing::Stands,
            false => Standing::Fallen,
        })
    }
}

fn read(rows: &[Row]) -> Vec<NodeRow> {
    let mut names = Names::default();
    (rows.iter())
        .map(|row| NodeRow::read(row, &mut names))
        .collect()
}

impl Plan {
    /// The namespaces of a part of it.
    pub(super) fn names_in(&self, part: &[(usize, usize)]) -> Vec<String> {
        (self.numbers_in(part).into_iter())
            .map(|number| self.names[number].as_str().to_owned())
            .collect()
    }

    /// How many checkpoints were put to a namespace that aren't known yet, by its head. None if the head
    /// says that more has changed: another removal has moved it to a checkpoint that goes, or the thread
    /// was restored, as at a failover.
    pub(super) fn put_since(
        &self,
        ns: &CheckpointNs,
        head: &CheckpointId,
        seq: i64,
    ) -> Option<i64> {
        let known = lock(&self.since);
        let planned = &self.namespaces[self.number_of(ns)?];
        let since = seq - known.head_seq(ns);
        let is_known =
            planned.known.nodes.place_of(head).is_some() || known.get(ns, head).is_some();
        let is_restored = since < 0 || (since == 0 && !is_known);
        let goes = planned.goes(head) && planned.known.head.as_ref() != Some(head);
        (!is_restored && !goes).then_some(since)
    }

    /// Whether a checkpoint that was put since needs nothing that goes.
    fn can_do_without(&self, ns: &CheckpointNs, id: &CheckpointId, since: &Since) -> bool {
        let (Some(number), Some(node)) = (self.number_of(ns), since.get(ns, id)) else {
            return true;
        };
        let planned = &self.namespaces[number];
        let nodes = &planned.known.nodes;
        // What was put while the plan was read is in it, too.
        if planned.goes(id) {
            return false;
        }
        let (mut parent, mut between) = (node.parent.as_ref(), Vec::new());
        while let Some(new) = parent.and_then(|parent| since.get(ns, parent)) {
            if between.len() > since.nodes[ns].len() {
                return false;
            }
            between.push(new);
            parent = new.parent.as_ref();
        }
        let Some(parent) = parent else {
            return true;
        };
        // A parent that isn't known was pruned before, or is of a server that was behind: a new plan has the
        // checkpoint in it.
        let Some(place) = nodes.place_of(parent) else {
            return false;
        };
        !planned.going.goes[place]
            && node.empty.iter().all(|channel| {
                let is_filled = between.iter().any(|node| has(&node.filled, channel));
                let is_written = between.iter().any(|node| has(&node.written, channel));
                is_filled
                    || (nodes.needed(Some(place), channel, is_written))
                        .all(|(needed, _)| !planned.going.goes[needed])
            })
    }
}
