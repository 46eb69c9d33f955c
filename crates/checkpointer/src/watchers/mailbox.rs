//! What one watcher was told and hasn't taken yet. Each head is kept once, so a watcher that is slow
//! takes memory for each thread that has changed, not for each change.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::{CheckpointAddress, CheckpointNs, Generation, HeadChange, ThreadId, Watch};

/// The mailbox of one watcher.
pub(crate) struct Mailbox {
    pub(crate) watch: Watch,
    untaken: Mutex<Untaken>,
    /// Wakes the watcher, who is the only one to wait.
    changed: Notify,
}

#[derive(Default)]
struct Untaken {
    has_begun: bool,
    has_ended: bool,
    /// The threads that have changed, in the order of their first change.
    order: VecDeque<ThreadId>,
    threads: HashMap<ThreadId, Changes>,
}

/// What a thread has come to. If it was deleted, that was before the heads moved.
#[derive(Default)]
struct Changes {
    deleted: Option<Generation>,
    moved: BTreeMap<CheckpointNs, CheckpointAddress>,
}

/// What a watcher finds in its mailbox.
enum Found {
    Change(HeadChange),
    Nothing,
    End,
}

impl Mailbox {
    pub(super) fn new(watch: Watch) -> Self {
        Self {
            watch,
            untaken: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Adds a change, if the watcher wants it. It replaces an earlier one of the same head.
    pub(crate) fn add(&self, change: &HeadChange) {
        if self.watch.wants(change) {
            self.lock().add(change);
            self.changed.notify_one();
        }
    }

    /// Says that the watcher is told of everything from now on.
    pub(crate) fn begin(&self) {
        self.lock().has_begun = true;
        self.changed.notify_one();
    }

    pub(super) fn has_begun(&self) -> bool {
        self.lock().has_begun
    }

    pub(super) fn end(&self) {
        self.lock().has_ended = true;
        self.changed.notify_one();
    }

    /// Waits until the watch has begun. Says no if it has ended before.
    pub(crate) async fn begun(&self) -> bool {
        loop {
            let (has_begun, has_ended) = {
                let untaken = self.lock();
                (untaken.has_begun, untaken.has_ended)
            };
            if has_begun || has_ended {
                return has_begun;
            }
            self.changed.notified().await;
        }
    }

    /// Waits for the next change; none after the end.
    pub(super) async fn next(&self) -> Option<HeadChange> {
        loop {
            let found = self.lock().take();
            match found {
                Found::Change(change) => return Some(change),
                Found::End => return None,
                Found::Nothing => self.changed.notified().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Untaken> {
        self.untaken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Untaken {
    fn add(&mut self, change: &HeadChange) {
        let thread_id = change.thread_id();
        if !self.threads.contains_key(thread_id) {
            self.order.push_back(thread_id.clone());
        }
        let changes = self.threads.entry(thread_id.clone()).or_default();
        match change {
            HeadChange::Moved(head) => {
                // Those of an earlier generation are gone.
                let moved = &mut changes.moved;
                moved.retain(|_, other| other.generation == head.generation);
                moved.insert(head.checkpoint_ns.clone(), head.clone());
            }
            HeadChange::Deleted { generation, .. } => {
                changes.deleted = Some(*generation);
                changes.moved.clear();
            }
        }
    }

    fn take(&mut self) -> Found {
        let Some(thread_id) = self.order.front() else {
            return match self.has_ended {
                true => Found::End,
                false => Found::Nothing,
            };
        };
        let mut changes = self.threads.remove(thread_id).unwrap_or_default();
        let change = changes.take(thread_id);
        match changes.is_empty() {
            true => drop(self.order.pop_front()),
            false => drop(self.threads.insert(thread_id.clone(), changes)),
        }
        change.map_or(Found::Nothing, Found::Change)
    }
}

impl Changes {
    fn take(&mut self, thread_id: &ThreadId) -> Option<HeadChange> {
        if let Some(generation) = self.deleted.take() {
            return Some(HeadChange::deleted(thread_id, generation));
        }
        let (_, head) = self.moved.pop_first()?;
        Some(HeadChange::Moved(head))
    }

    fn is_empty(&self) -> bool {
        self.deleted.is_none() && self.moved.is_empty()
    }
}
