//! What can be wrong with a thread in memory: no more than that a parent isn't there.

use std::ops::Bound;

use super::Store;
use super::thread::Thread;
use crate::{Finding, FindingKind, ThreadId, VerifiedThread, Verify};

impl Store {
    /// Verifies threads, in the order of their ids.
    pub(super) fn verify(&self, verify: &Verify) -> Vec<VerifiedThread> {
        if let Some(thread_id) = &verify.thread_id {
            let live = self.live(thread_id);
            return live
                .map(|live| live.verify(thread_id))
                .into_iter()
                .collect();
        }
        let after = verify.after.as_ref();
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let threads = self.threads.range((after, Bound::Unbounded));
        let live = threads.filter(|(_, thread)| !thread.deleted);
        live.map(|(thread_id, thread)| thread.verify(thread_id))
            .collect()
    }
}

impl Thread {
    fn verify(&self, thread_id: &ThreadId) -> VerifiedThread {
        let mut verified = VerifiedThread::new(thread_id.clone());
        let counts = self.counts();
        (verified.checkpoints, verified.pending_writes) = (counts.checkpoints, counts.writes);
        for (ns, namespace) in &self.namespaces {
            for (id, stored) in &namespace.checkpoints {
                let Some(parent) = &stored.parent else {
                    continue;
                };
                if !namespace.checkpoints.contains_key(parent) {
                    let finding = Finding::new(
                        FindingKind::ParentMissing,
                        format!(
                            "the parent of checkpoint `{id}`, checkpoint `{parent}`, is missing"
                        ),
                    );
                    verified.add(finding.in_ns(ns.clone()).of_checkpoint(id.clone()));
                }
            }
        }
        verified
    }
}
