//! Looks for changes, and what they have seen.

use std::collections::{BTreeMap, HashMap, HashSet};

use db::Row;

use crate::postgres::sql::{LastLook, Since, WatchedThreads};
use crate::postgres::store::Store;
use crate::watchers::{Mailbox, Watchers};
use crate::{
    CheckpointAddress, CheckpointId, CheckpointNs, Generation, HeadChange, Result, ThreadId,
};

/// What the looks have seen.
#[derive(Default)]
pub(super) struct Looks {
    last: LastLook,
    since: Since,
    /// The threads that are watched one by one.
    known: HashMap<ThreadId, Known>,
    /// What the last look found of all threads: the next one may find it again.
    found: HashMap<(ThreadId, Option<CheckpointNs>), HeadChange>,
}

/// What is known of a thread.
#[derive(Default)]
struct Known {
    /// None if it doesn't exist.
    generation: Option<Generation>,
    heads: BTreeMap<CheckpointNs, CheckpointId>,
}

/// What a look has found of a thread, or of one of its heads.
struct Found {
    thread_id: ThreadId,
    /// None if there is no such thread.
    generation: Option<Generation>,
    live: bool,
    head: Option<(CheckpointNs, CheckpointId)>,
}

impl Looks {
    /// Looks for changes, tells them, and says how many there are.
    pub(super) async fn look(&mut self, store: &Store, watchers: &Watchers) -> Result<usize> {
        let mut changes = 0;
        let mut place = None;
        if watchers.watch_all() {
            let asked = store.sql.watch_all.with((&self.last, &self.since));
            let rows = store.query("watch all threads", asked).await?;
            place = rows.first().map(place_of);
            changes += self.tell_all(&rows, watchers);
        } else {
            self.found.clear();
        }
        let threads = watchers.threads();
        let watched: HashSet<_> = threads.iter().collect();
        self.known.retain(|known, _| watched.contains(known));
        if !threads.is_empty() {
            let rows = self.look_at(&threads, store).await?;
            // The earlier of two looks: the next one finds what the later one has seen once more.
            place = place.or_else(|| rows.first().map(place_of));
            changes += self.tell_threads(&rows, watchers);
        }
        if let Some(place) = place {
            (self.last, self.since) = place;
        }
        Ok(changes)
    }

    async fn look_at(&self, threads: &[ThreadId], store: &Store) -> Result<Vec<Row>> {
        let known: Vec<bool> = threads
            .iter()
            .map(|thread_id| self.known.contains_key(thread_id))
            .collect();
        let threads: Vec<&str> = threads.iter().map(ThreadId::as_str).collect();
        let watched = WatchedThreads {
            threads: &threads,
            known: &known,
        };
        let asked = store.sql.watch_threads.with((&self.last, &watched));
        store.query("watch threads", asked).await
    }

    fn tell_all(&mut self, rows: &[Row], watchers: &Watchers) -> usize {
        let before = std::mem::take(&mut self.found);
        let mut changes = 0;
        for found in rows.iter().filter_map(Found::read) {
            let Some(change) = found.change() else {
                continue;
            };
            let place = (found.thread_id, found.head.map(|(ns, _)| ns));
            if before.get(&place) != Some(&change) {
                watchers.tell_watchers_of_all(&change);
                changes += 1;
            }
            self.found.insert(place, change);
        }
        changes
    }

    fn tell_threads(&mut self, rows: &[Row], watchers: &Watchers) -> usize {
        let mut changes = 0;
        for found in rows.iter().filter_map(Found::read) {
            let known = self.known.entry(found.thread_id.clone()).or_default();
            for change in known.take_in(&found) {
                watchers.tell_watchers_of_thread(&change);
                changes += 1;
            }
        }
        changes
    }

    /// Tells a new watcher of a thread the heads that it has.
    pub(super) fn show(&self, mailbox: &Mailbox) {
        let Some(thread_id) = &mailbox.watch.thread_id else {
            return;
        };
        let Some(known) = self.known.get(thread_id) else {
            return;
        };
        for (ns, id) in &known.heads {
            mailbox.add(&known.moved(thread_id, ns, id));
        }
    }
}

impl Known {
    /// Takes in what a look has found, and says what is new of it.
    fn take_in(&mut self, found: &Found) -> Vec<HeadChange> {
        let mut changes = Vec::new();
        let generation = found.generation.filter(|_| found.live);
        if let Some(ended) = self.generation
            && generation != Some(ended)
        {
            changes.push(HeadChange::deleted(&found.thread_id, ended));
            self.heads.clear();
        }
        self.generation = generation;
        if let Some((ns, id)) = &found.head
            && self.heads.get(ns) != Some(id)
        {
            self.heads.insert(ns.clone(), id.clone());
            changes.push(self.moved(&found.thread_id, ns, id));
        }
        changes
    }

    fn moved(&self, thread_id: &ThreadId, ns: &CheckpointNs, id: &CheckpointId) -> HeadChange {
        HeadChange::Moved(address(thread_id, ns, id, self.generation))
    }
}

impl Found {
    /// Reads a row; none if it only says where the look is.
    fn read(row: &Row) -> Option<Self> {
        let thread_id: Option<String> = row.get("thread_id");
        let generation: Option<i64> = row.get("generation");
        let ns: Option<String> = row.get("checkpoint_ns");
        let id: Option<String> = row.get("checkpoint_id");
        Some(Self {
            thread_id: ThreadId::trusted(thread_id?),
            generation: generation.map(Generation),
            live: row.get("live"),
            head: ns
                .zip(id)
                .map(|(ns, id)| (CheckpointNs::trusted(ns), CheckpointId::trusted(id))),
        })
    }

    /// What it says by itself.
    fn change(&self) -> Option<HeadChange> {
        match (&self.head, self.generation) {
            (Some((ns, id)), generation) => Some(HeadChange::Moved(address(
                &self.thread_id,
                ns,
                id,
                generation,
            ))),
            // The tombstone has the generation that comes next.
            (None, Some(Generation(next))) => {
                Some(HeadChange::deleted(&self.thread_id, Generation(next - 1)))
            }
            (None, None) => None,
        }
    }
}

/// Where a look was, by any row of its answer.
fn place_of(row: &Row) -> (LastLook, Since) {
    let last = LastLook {
        oldest: row.get("oldest"),
        server: row.get("server"),
    };
    let since = Since {
        since: row.get("at"),
    };
    (last, since)
}

fn address(
    thread_id: &ThreadId,
    ns: &CheckpointNs,
    id: &CheckpointId,
    generation: Option<Generation>,
) -> CheckpointAddress {
    CheckpointAddress {
        thread_id: thread_id.clone(),
        checkpoint_ns: ns.clone(),
        checkpoint_id: id.clone(),
        generation,
    }
}
