//! Removing old checkpoints, and those of runs.

mod count;
mod due;
mod judge;
mod plan;
mod since;
mod steps;

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

pub(super) use self::judge::Asking;
use self::judge::Verdict;
use self::plan::Plan;
use self::steps::Carried;
use super::encode::encode_filter;
use super::engine::Engine;
use super::meter;
use super::refusal::busy;
use super::sql::{OneThread, Runs};
use super::wire::Jsonb;
use crate::{DeleteThread, NotRemoved, Prune, PruneStrategy, Removed, Result, Retention, ThreadId};

/// How often a thread is planned again without a step that went ahead in between.
const MAX_PLANS: usize = 16;

/// How many threads are swept with a removal of runs of which an earlier removal was cut short: they don't pile up
/// where no policy is applied, and no call takes long.
const SWEPT_WITH_RUNS: i64 = 16;

/// What is removed from a thread.
#[derive(Debug, Clone)]
enum Removal {
    /// All that a policy doesn't keep.
    Old(Arc<Retention>),
    /// Checkpoints whose metadata contains one of these, but for what the rest needs.
    Runs(Arc<[Vec<u8>]>),
}

impl Engine {
    pub(super) async fn prune(self: &Arc<Self>, prune: Prune) -> Result<Removed> {
        let policy = match &prune.strategy {
            PruneStrategy::Delete => None,
            PruneStrategy::KeepLatest => Some(Arc::new(Retention::keep_last(1))),
            PruneStrategy::Keep(policy) => Some(Arc::new(policy.clone())),
        };
        let mut all = match (&prune.thread_ids, &policy) {
            (None, Some(policy)) => self.prune_due(policy, &prune).await?,
            _ => Removed::default(),
        };
        let mut threads = prune.thread_ids.unwrap_or_default().into_iter();
        for thread_id in threads.by_ref() {
            let mut removed = Removed::default();
            let outcome = match &policy {
                None => {
                    self.delete_or_count(&thread_id, prune.dry_run, &mut removed)
                        .await
                }
                Some(policy) => {
                    self.prune_thread(&thread_id, policy, prune.dry_run, &mut removed)
                        .await
                }
            };
            let outcome = outcome.inspect_err(meter::failed_to_prune);
            if all.add_in_part(thread_id, &removed, outcome).is_break() {
                break;
            }
        }
        all.untried.extend(threads);
        if !prune.dry_run {
            self.sweep_tombstones().await;
        }
        Ok(all)
    }

    /// Deletes a thread, or removes what a policy doesn't keep of it.
    async fn prune_thread(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        policy: &Arc<Retention>,
        dry_run: bool,
        removed: &mut Removed,
    ) -> Result<()> {
        match self.judge(thread_id, policy).await? {
            Verdict::Keep => return Ok(()),
            Verdict::Refuse(refusal) => return Err(refusal),
            Verdict::Delete if dry_run => {
                removed.count(&self.count_thread(thread_id).await?);
                return Ok(());
            }
            Verdict::Delete => {
                if let Some(deleted) = self.delete_if_due(thread_id, policy).await? {
                    meter::removed(&deleted);
                    removed.count(&deleted);
                    return Ok(());
                }
            }
            Verdict::Thin => {}
        }
        if !policy.thins() {
            return Ok(());
        }
        let removal = Removal::Old(Arc::clone(policy));
        self.remove_from(thread_id, removal, dry_run, removed).await
    }

    async fn delete_or_count(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        dry_run: bool,
        removed: &mut Removed,
    ) -> Result<()> {
        if dry_run {
            removed.count(&self.count_deletion(thread_id).await?);
            return Ok(());
        }
        let deleted = self.delete_thread(DeleteThread::new(thread_id)?).await?;
        meter::removed(&deleted);
        removed.count(&deleted);
        Ok(())
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
            let mut removed = Removed::default();
            let outcome = self.remove_from(&thread_id, removal, false, &mut removed);
            let outcome = outcome.await;
            if all.add_in_part(thread_id, &removed, outcome).is_break() {
                break;
            }
        }
        all.untried = threads.collect();
        if !all.is_cut_short() {
            all.count(&self.sweep_others().await);
        }
        Ok(all)
    }

    /// Sweeps threads that a removal of runs has nothing to do with, and returns what was removed. Failures are
    /// only logged: they aren't its caller's.
    async fn sweep_others(self: &Arc<Self>) -> Removed {
        let mut swept = Removed::default();
        match self.unswept(Instant::now(), SWEPT_WITH_RUNS).await {
            Ok(others) => {
                for unswept in others {
                    if self.sweep_unswept(unswept, &mut swept).await.is_break() {
                        break;
                    }
                }
            }
            Err(error) => {
                tracing::debug!(error = %error.for_log(), "failed to find threads to sweep");
            }
        }
        for NotRemoved { thread_id, error } in std::mem::take(&mut swept.failed) {
            let thread_id = thread_id.as_str();
            tracing::debug!(thread_id, error = %error.for_log(), "failed to sweep another thread");
        }
        swept
    }

    /// Goes on with a removal that was cut short, of which nothing is known but what is left.
    pub(super) async fn remove_nothing(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        removed: &mut Removed,
    ) -> Result<()> {
        let nothing = Removal::Old(Arc::new(Retention::keep_all()));
        self.remove_from(thread_id, nothing, false, removed).await
    }

    /// Sweeps a thread from which nothing was removed: chunks that nothing needs, and writes that have
    /// waited too long.
    pub(super) async fn sweep_garbage(self: &Arc<Self>, thread_id: &ThreadId) -> Result<()> {
        let one = OneThread {
            thread_id: thread_id.as_str(),
        };
        let note = self.store.sql.note_unswept.with(&one);
        self.store.execute("sweep a thread", note).await?;
        self.remove_nothing(thread_id, &mut Removed::default())
            .await
    }

    /// Removes some of a thread's checkpoints. If the caller is dropped, it goes on to the end of the
    /// thread, unless a close comes before.
    async fn remove_from(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        removal: Removal,
        dry_run: bool,
        removed: &mut Removed,
    ) -> Result<()> {
        let (engine, thread_id) = (Arc::clone(self), thread_id.clone());
        let removing = async move {
            let mut removed = Removed::default();
            let outcome = engine.remove_in_steps(&thread_id, removal, dry_run, &mut removed);
            let outcome = outcome.await;
            Ok((removed, outcome))
        };
        let (part, outcome) = self.finish(removing).await?;
        removed.count(&part);
        outcome
    }

    /// Removes them step by step: each step is a turn and a transaction of its own, so that writers get
    /// in between. What a step relies on is checked again under the lock of the thread; where it has
    /// changed, the rest is planned anew.
    async fn remove_in_steps(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        removal: Removal,
        dry_run: bool,
        removed: &mut Removed,
    ) -> Result<()> {
        let mut fruitless = 0;
        while fruitless < MAX_PLANS {
            let Some(plan) = self.plan(thread_id, removal.clone()).await? else {
                return Ok(());
            };
            if dry_run {
                removed.count(&self.count(&plan).await?);
                return Ok(());
            }
            let before = removed.checkpoints;
            match self.carry_out(plan, removed).await? {
                Carried::Out => return Ok(()),
                Carried::Interrupted if removed.checkpoints > before => fruitless = 0,
                Carried::Interrupted => fruitless += 1,
            }
        }
        Err(busy(thread_id))
    }

    /// Removes what goes by a plan, and then what only that needed.
    async fn carry_out(self: &Arc<Self>, plan: Plan, removed: &mut Removed) -> Result<Carried> {
        let plan = Arc::new(plan);
        let carried = self.steps(&plan, removed).await?;
        if matches!(carried, Carried::Out) && plan.leaves_chunks() {
            let orphans = self.remove_orphans(&plan.thread_id, plan.generation, plan.over());
            let mut swept = orphans.await?;
            let outcome = self.sweep_chunks(&plan.thread_id, &mut swept).await;
            meter::removed(&swept);
            removed.count(&swept);
            outcome?;
        }
        Ok(carried)
    }
}

/// Runs, as they are compared with metadata.
fn filters(runs: &[Vec<u8>]) -> Vec<Jsonb<'_>> {
    runs.iter().map(|run| Jsonb(run)).collect()
}
