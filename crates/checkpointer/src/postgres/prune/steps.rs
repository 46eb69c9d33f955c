//! Removing what a plan names, in steps that are short for those who wait.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use db::{GenericClient, Transaction};

use super::plan::Plan;
use super::since::Standing;
use crate::postgres::delete::counts;
use crate::postgres::engine::Engine;
use crate::postgres::meter;
use crate::postgres::sql::{LockedThread, NextHeads, RemovedCheckpoints, Stands};
use crate::{CheckpointId, CheckpointNs, Removed, Result};

/// How many checkpoints the first step removes, and how many a step removes at least and at most.
const FIRST_STEP: usize = 100;
const SMALLEST_STEP: usize = 20;
const LARGEST_STEP: usize = 2_000;

/// For how long a step should hold the lock of its thread: about as long as some puts take.
const HOLDS_FOR: Duration = Duration::from_millis(20);

/// How many checkpoints that were put since are looked at under the lock at most.
const MOST_UNDER_LOCK: i64 = 20;

/// How often a step is tried at most while a writer is too fast for it.
const MAX_TRIES: usize = 50;

/// What became of a plan.
#[derive(Debug)]
pub(super) enum Carried {
    /// It was carried out.
    Out,
    /// What it relies on has changed: the rest must be planned again.
    Interrupted,
}

/// What became of a step.
enum Stepped {
    /// So much was removed, and for so long other writers to the thread had to wait.
    Done(Removed, Duration),
    /// Nothing was removed: the thread isn't as it was planned.
    Changed,
    /// Nothing was removed: so much was put since that it is looked at without the lock first.
    Behind,
    /// The thread was deleted, with everything that the plan names.
    Gone,
}

impl Engine {
    /// Carries out a plan, step by step.
    pub(super) async fn steps(
        self: &Arc<Self>,
        plan: &Arc<Plan>,
        removed: &mut Removed,
    ) -> Result<Carried> {
        let (mut done, mut size, mut tries) = (0, FIRST_STEP, 0);
        while done < plan.order.len() {
            let next = done..plan.order.len().min(done + size);
            if !self.catch_up(plan, &plan.order[next.clone()]).await? {
                return Ok(Carried::Interrupted);
            }
            tries += 1;
            match self.step(plan, next.clone()).await? {
                Stepped::Done(further, held) => {
                    meter::removed(&further);
                    removed.count(&further);
                    (done, size, tries) = (next.end, size_after(size, held), 0);
                }
                Stepped::Behind if tries < MAX_TRIES => {}
                Stepped::Behind | Stepped::Changed => return Ok(Carried::Interrupted),
                Stepped::Gone => return Ok(Carried::Out),
            }
        }
        Ok(Carried::Out)
    }

    /// Removes a part of what goes, in the thread's turn.
    async fn step(self: &Arc<Self>, plan: &Arc<Plan>, part: Range<usize>) -> Result<Stepped> {
        let turn = self.order.alone(&plan.thread_id).await;
        let (engine, plan) = (Arc::clone(self), Arc::clone(plan));
        self.finish(async move {
            let part = &plan.order[part];
            let stepped = engine
                .store
                .retry("remove checkpoints", || async {
                    let database = &engine.store.database;
                    database
                        .transaction(async |tx| engine.step_in(tx, &plan, part).await)
                        .await
                })
                .await;
            engine.store.lists.forget(&plan.thread_id);
            drop(turn);
            stepped
        })
        .await
    }

    async fn step_in(
        &self,
        tx: &Transaction<'_>,
        plan: &Plan,
        part: &[(usize, usize)],
    ) -> Result<Stepped, db::Error> {
        let thread = LockedThread {
            thread_id: plan.thread_id.as_str(),
            lease: None,
        };
        let lock = self.store.sql.lock_thread.with(&thread);
        let row = tx.query_opt(&lock.statement, &lock.values).await?;
        let since = Instant::now();
        match row {
            Some(row) if row.get::<_, bool>("deleted") => return Ok(Stepped::Gone),
            Some(row) if row.get::<_, i64>("generation") == plan.generation => {}
            _ => return Ok(Stepped::Gone),
        }
        match self.stands(tx, plan, part).await? {
            Standing::Stands => {}
            Standing::Fallen => return Ok(Stepped::Changed),
            Standing::Behind => return Ok(Stepped::Behind),
        }
        let removed = self.remove(tx, plan, part).await?;
        Ok(Stepped::Done(removed, since.elapsed()))
    }

    /// Whether nothing has come that needs what is planned to go.
    async fn stands(
        &self,
        tx: &Transaction<'_>,
        plan: &Plan,
        part: &[(usize, usize)],
    ) -> Result<Standing, db::Error> {
        let known_ns = plan.names_in(part);
        let thread = Stands {
            thread_id: plan.thread_id.as_str(),
            known_ns: &known_ns,
        };
        let (head_ns, head_ids) = plan.next_heads(part);
        let next_heads = NextHeads {
            head_ns: &head_ns,
            head_ids: &head_ids,
        };
        let asked = self.store.sql.stands.with((&thread, &next_heads));
        let mut put = 0;
        for row in tx.query(&asked.statement, &asked.values).await? {
            let ns = CheckpointNs::trusted(row.get("checkpoint_ns"));
            let id = CheckpointId::trusted(row.get("checkpoint_id"));
            let stands = match row.get("kind") {
                "head" => plan
                    .put_since(&ns, &id, row.get("seq"))
                    .map(|since| put += since),
                "pinned" => (!plan.removal.heeds_pins() || !plan.goes(&ns, &id)).then_some(()),
                // Another removal has removed what was to stay.
                _ => None,
            };
            if stands.is_none() {
                return Ok(Standing::Fallen);
            }
        }
        Ok(match put {
            0 => Standing::Stands,
            ..=MOST_UNDER_LOCK => self.judge_since(tx, plan, part).await?,
            _ => Standing::Behind,
        })
    }

    /// Removes checkpoints.
    async fn remove(
        &self,
        tx: &Transaction<'_>,
        plan: &Plan,
        part: &[(usize, usize)],
    ) -> Result<Removed, db::Error> {
        let names = |(number, place): &(usize, usize)| plan.names_of(*number, *place);
        let (removed_ns, removed_ids): (Vec<_>, Vec<_>) = part.iter().map(names).unzip();
        let orphaned = part.iter().flat_map(|(number, place)| {
            let children = plan.namespaces[*number].orphaned.get(place);
            let children = children.into_iter().flatten();
            children.map(|child| plan.names_of(*number, *child))
        });
        let (orphaned_ns, orphaned_ids): (Vec<_>, Vec<_>) = orphaned.unzip();
        let (head_ns, head_ids) = plan.next_heads(part);
        let next_heads = NextHeads {
            head_ns: &head_ns,
            head_ids: &head_ids,
        };
        let removed = RemovedCheckpoints {
            thread_id: plan.thread_id.as_str(),
            removed_ns: &removed_ns,
            removed_ids: &removed_ids,
            orphaned_ns: &orphaned_ns,
            orphaned_ids: &orphaned_ids,
        };
        let remove = self.store.sql.remove.with((&removed, &next_heads));
        let row = tx.query_opt(&remove.statement, &remove.values).await?;
        Ok(row.as_ref().map(counts).unwrap_or_default())
    }
}

/// How many checkpoints the next step removes.
fn size_after(size: usize, held: Duration) -> usize {
    let next = match held {
        held if held < HOLDS_FOR / 2 => size * 2,
        held if held > HOLDS_FOR => size / 2,
        _ => size,
    };
    next.clamp(SMALLEST_STEP, LARGEST_STEP)
}
