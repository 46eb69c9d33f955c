//! Removing old checkpoints by a policy.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::containment::contains_map;
use super::thread::Thread;
use super::{MemoryCheckpointer, Store};
use crate::{DeleteThread, Prune, PruneStrategy, Removed, Result, Retention, ThreadId};

/// Where the calls with a policy have come to, if threads are left.
#[derive(Default)]
pub(super) struct Rounds(Vec<(Retention, Place)>);

/// A thread in the order in which those that are due are looked at.
type Place = (SystemTime, ThreadId);

impl MemoryCheckpointer {
    pub(super) async fn prune_threads(&self, prune: &Prune) -> Result<Removed> {
        drop(self.open()?);
        let policy = match &prune.strategy {
            PruneStrategy::Delete => None,
            PruneStrategy::KeepLatest => Some(Retention::keep_last(1)),
            PruneStrategy::Keep(policy) => Some(policy.clone()),
        };
        let mut all = Removed::default();
        let thread_ids = match (&prune.thread_ids, &policy) {
            (Some(thread_ids), _) => thread_ids.clone(),
            (None, Some(policy)) => self.open()?.next_due(prune, policy, &mut all.more),
            (None, None) => Vec::new(),
        };
        for thread_id in thread_ids {
            let mut store = match prune.dry_run {
                true => self.open()?,
                false => self.open_to_write(&thread_id, None).await?,
            };
            let removed = match &policy {
                Some(policy) => store.prune(&thread_id, policy, prune.dry_run),
                None => store.delete_or_count(&thread_id, prune.dry_run),
            };
            let _ = all.add(thread_id, removed);
        }
        Ok(all)
    }
}

impl Store {
    /// The threads that are looked at next, those first that have been unchanged for longest.
    fn next_due(&mut self, prune: &Prune, policy: &Retention, more: &mut bool) -> Vec<ThreadId> {
        let begun = self.rounds.0.iter().position(|(of, _)| of == policy);
        let after = begun.map(|round| match prune.dry_run {
            true => self.rounds.0[round].1.clone(),
            false => self.rounds.0.remove(round).1,
        });
        let with_head = (self.threads.iter()).filter(|(_, thread)| thread.has_head());
        let places = with_head.map(|(thread_id, thread)| (thread.updated_at(), thread_id.clone()));
        let mut due: Vec<Place> = places
            .filter(|place| after.as_ref().is_none_or(|after| place > after))
            .collect();
        due.sort();
        let limit = prune.limit.unwrap_or(usize::MAX);
        *more = due.len() > limit;
        due.truncate(limit);
        if *more
            && !prune.dry_run
            && let Some(last) = due.last().cloned().or(after)
        {
            self.rounds.0.push((policy.clone(), last));
        }
        due.into_iter().map(|(_, thread_id)| thread_id).collect()
    }

    fn prune(
        &mut self,
        thread_id: &ThreadId,
        policy: &Retention,
        dry_run: bool,
    ) -> Result<Removed> {
        let now = self.now();
        let Some(thread) = self.threads.get_mut(thread_id) else {
            return Ok(Removed::default());
        };
        if thread.deleted || !policy.concerns(&thread.metadata) {
            return Ok(Removed::default());
        }
        let rests_for = now.duration_since(thread.updated_at()).unwrap_or_default();
        let may_be_deleted = thread.has_head() && !thread.has_pinned();
        if may_be_deleted && policy.delete_after.is_some_and(|age| rests_for >= age) {
            return self.delete_or_count(thread_id, dry_run);
        }
        let mut copy;
        let thread = match dry_run {
            false => thread,
            true => {
                copy = thread.clone();
                &mut copy
            }
        };
        let before = thread.counts();
        thread.prune(policy, now);
        Ok(before.less(&thread.counts()))
    }

    fn delete_or_count(&mut self, thread_id: &ThreadId, dry_run: bool) -> Result<Removed> {
        let delete = DeleteThread::new(thread_id)?;
        if !dry_run {
            return self.delete(&delete);
        }
        if self.live(thread_id).is_none() {
            return Ok(Removed::default());
        }
        self.admit_lease(thread_id, None)?;
        let counts = self.live(thread_id).map(Thread::counts);
        Ok(counts.unwrap_or_default().of_thread())
    }
}

impl Retention {
    /// Whether it concerns a thread with that metadata.
    fn concerns(&self, metadata: &serde_json::Map<String, serde_json::Value>) -> bool {
        let has = |part| contains_map(metadata, part);
        self.only.as_ref().is_none_or(has) && !self.except.iter().any(has)
    }
}

impl Removed {
    /// What was there, and is there no more.
    pub(super) fn less(self, left: &Self) -> Self {
        Self {
            checkpoints: self.checkpoints - left.checkpoints,
            writes: self.writes - left.writes,
            bytes: self.bytes - left.bytes,
            ..self
        }
    }
}

impl Thread {
    /// Removes what a policy doesn't keep.
    fn prune(&mut self, policy: &Retention, now: SystemTime) {
        let youngest = policy.newer_than.and_then(|age| now.checked_sub(age));
        let is_young = |put_at| match (policy.newer_than, youngest) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(_), Some(youngest)) => put_at > youngest,
        };
        let going = crate::prune::going(
            &mut self.nodes(is_young, |_| false),
            crate::prune::Removal::Old(policy),
        );
        self.remove(&going, now);
        let is_over: BTreeMap<_, _> = (going.into_iter())
            .map(|(ns, going)| (ns, going.over))
            .collect();
        // A subgraph's call that is over goes with the writes whose checkpoint never came.
        (self.namespaces).retain(|ns, _| !is_over.get(ns).is_some_and(|over| *over));
    }
}
