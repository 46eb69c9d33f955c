//! Applying a policy to the threads that are due.
//!
//! A round has parts, each of which looks at the threads whose heads have last changed in a range of
//! hours: they are found by the index on the hour. What a round has looked at, the next one passes over
//! until it changes or comes of age. Where a round has come to is noted, so that any program can go on
//! with it.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use db::Row;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::codec;
use crate::postgres::engine::Engine;
use crate::postgres::meter;
use crate::postgres::sql::{AtWork, DuePage, EndOfCall, PolicyOfRound, Progress, micros};
use crate::{Prune, Removed, Result, Retention, ThreadId};

/// For how long others leave the work to a call that gives no sign.
const AT_WORK_FOR: Duration = Duration::from_secs(120);

/// How often a call gives a sign at least, while it goes from thread to thread.
const SIGN_EVERY: Duration = Duration::from_secs(10);

/// How many threads are found at once.
const FOUND_AT_ONCE: usize = 500;

/// How many threads are found at once of which a removal was cut short.
const SWEPT_AT_ONCE: usize = 1_000;

/// How many of the threads that failed are tried again in the next round.
const AGAIN_AT_MOST: usize = 1_000;

/// How much longer ago than a round began a thread may have changed that the next one looks at. A change has
/// the time at which its transaction began, and is seen when that has ended.
const COMMITTED_WITHIN: Duration = Duration::from_secs(60 * 60);

/// The part of a round in which threads are tried again that failed.
const AGAIN: i32 = 0;

/// A round, as far as it has come.
#[derive(Debug)]
struct Round {
    begun: SystemTime,
    done: Option<SystemTime>,
    looks_at_all: bool,
    part: i32,
    changed: Option<SystemTime>,
    thread_id: String,
    /// The threads that have failed in this round, each once: a thread may be tried again, and then come by in a
    /// range.
    failing: Vec<String>,
    /// Those of the round before. The place in it is that of a name.
    failed: Vec<String>,
}

/// The threads that a part of a round looks at, by the hour of their last change.
#[derive(Debug, Clone, Copy)]
struct Range {
    from: Option<SystemTime>,
    until: SystemTime,
}

/// A call at work. Dropped before its end it lets others go on.
struct Work {
    engine: Arc<Engine>,
    policy: String,
    token: String,
    /// Whether nothing is changed.
    dry_run: bool,
    signed: Instant,
    ended: bool,
}

impl Engine {
    /// Applies a policy to the threads that are due.
    pub(super) async fn prune_due(
        self: &Arc<Self>,
        policy: &Arc<Retention>,
        prune: &Prune,
    ) -> Result<Removed> {
        let mut all = Removed::default();
        let work = Work::new(Arc::clone(self), policy, prune.dry_run);
        let Some((mut work, mut round)) = work.begin().await? else {
            all.elsewhere = true;
            return Ok(all);
        };
        let mut left = prune.limit.unwrap_or(usize::MAX);
        while let Some(part) = round.part(policy) {
            let flow = match part {
                None => work.again(policy, &mut round, &mut left, &mut all).await?,
                Some(range) => {
                    work.range(policy, &mut round, range, &mut left, &mut all)
                        .await?
                }
            };
            if flow.is_break() {
                all.more = true;
                break;
            }
        }
        work.end(&round, !all.more).await?;
        Ok(all)
    }
}

impl Work {
    fn new(engine: Arc<Engine>, policy: &Retention, dry_run: bool) -> Self {
        Self {
            engine,
            policy: codec::hash(&described(policy)).to_string(),
            token: Uuid::new_v4().to_string(),
            dry_run,
            signed: Instant::now(),
            // Until it has begun.
            ended: true,
        }
    }

    /// Begins; none if another call is at work.
    async fn begin(mut self) -> Result<Option<(Self, Round)>> {
        let policy = PolicyOfRound {
            policy: &self.policy,
        };
        let (store, at_work) = (&self.engine.store, self.at_work());
        let row = match self.dry_run {
            true => {
                let asked = store.sql.look_at_round.with(&policy);
                store.query_opt("look at a round of upkeep", asked).await?
            }
            false => {
                let asked = store.sql.begin_round.with((&policy, &at_work));
                store.query_opt("begin upkeep", asked).await?
            }
        };
        self.ended = self.dry_run;
        Ok(row.map(|row| (self, Round::read(&row))))
    }

    fn at_work(&self) -> AtWork<'_> {
        AtWork {
            token: &self.token,
            micros: micros(AT_WORK_FOR),
        }
    }

    /// Tries threads again that failed in the round before, no more than `left`, and sweeps those whose
    /// removal was cut short.
    async fn again(
        &mut self,
        policy: &Arc<Retention>,
        round: &mut Round,
        left: &mut usize,
        all: &mut Removed,
    ) -> Result<ControlFlow<()>> {
        let last = (round.failed.iter()).position(|failed| *failed == round.thread_id);
        let rest = round.failed.split_off(last.map_or(0, |last| last + 1));
        for thread_id in rest.into_iter().map(ThreadId::trusted) {
            if *left == 0 {
                let _ = self.sign(round, true).await?;
                return Ok(ControlFlow::Break(()));
            }
            *left -= 1;
            if self.one(policy, &thread_id, round, all).await?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if !self.dry_run && self.sweep(round, all).await?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        round.next_part();
        self.sign(round, true).await
    }

    /// Sweeps threads whose removal was cut short, each once. If the reason why one fails is one for all, the round
    /// goes on without the rest: the policy is applied first.
    async fn sweep(&mut self, round: &Round, all: &mut Removed) -> Result<ControlFlow<()>> {
        let (began, mut swept) = (Instant::now(), HashSet::new());
        loop {
            let mut page = self.engine.unswept(began, SWEPT_AT_ONCE as i64).await?;
            let may_be_more = page.len() == SWEPT_AT_ONCE;
            page.retain(|unswept| swept.insert(unswept.thread_id.clone()));
            let brings_more = may_be_more && !page.is_empty();
            for unswept in page {
                if self.engine.sweep_unswept(unswept, all).await.is_break() {
                    return Ok(ControlFlow::Continue(()));
                }
                if self.sign(round, false).await?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if !brings_more {
                return Ok(ControlFlow::Continue(()));
            }
        }
    }

    /// Looks at a page of the threads of a range, no more than `left`.
    async fn range(
        &mut self,
        policy: &Arc<Retention>,
        round: &mut Round,
        range: Range,
        left: &mut usize,
        all: &mut Removed,
    ) -> Result<ControlFlow<()>> {
        // One more says whether any is left.
        let limit = FOUND_AT_ONCE.min(left.saturating_add(1));
        let rows = self.page(policy, round, range, limit).await?;
        for row in &rows {
            if *left == 0 {
                let _ = self.sign(round, true).await?;
                return Ok(ControlFlow::Break(()));
            }
            *left -= 1;
            let thread_id = ThreadId::trusted(row.get("thread_id"));
            let hour = Some(row.get("changed"));
            let before = std::mem::replace(&mut round.changed, hour);
            if self.one(policy, &thread_id, round, all).await?.is_break() {
                round.changed = before;
                return Ok(ControlFlow::Break(()));
            }
        }
        if rows.len() < limit {
            round.next_part();
        }
        self.sign(round, true).await
    }

    async fn page(
        &self,
        policy: &Retention,
        round: &Round,
        range: Range,
        limit: usize,
    ) -> Result<Vec<Row>> {
        let page = DuePage {
            from: range.from,
            until: range.until,
            changed: round.changed,
            thread_id: &round.thread_id,
            last: i64::try_from(policy.last).unwrap_or(i64::MAX),
            rested: round.rested(policy),
            limit: limit as i64,
        };
        let store = &self.engine.store;
        let asked = store.sql.due_threads.with(&page);
        store.query("find threads that are due", asked).await
    }

    /// Applies the policy to a thread. If the reason why it fails is one for all threads, the call ends,
    /// and the next one goes on with this thread.
    async fn one(
        &mut self,
        policy: &Arc<Retention>,
        thread_id: &ThreadId,
        round: &mut Round,
        all: &mut Removed,
    ) -> Result<ControlFlow<()>> {
        let mut removed = Removed::default();
        let pruned = (self.engine).prune_thread(thread_id, policy, self.dry_run, &mut removed);
        let outcome = pruned.await.inspect_err(meter::failed_to_prune);
        let failed = outcome.is_err();
        if (all.add_in_part(thread_id.clone(), &removed, outcome)).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if failed {
            round.note_failure(thread_id);
        }
        round.thread_id = thread_id.as_str().to_owned();
        self.sign(round, false).await
    }

    /// Notes how far the round has come, now or when it is time. It ends the call if another one has
    /// taken over.
    async fn sign(&mut self, round: &Round, now: bool) -> Result<ControlFlow<()>> {
        if self.dry_run || !now && self.signed.elapsed() < SIGN_EVERY {
            return Ok(ControlFlow::Continue(()));
        }
        let policy = PolicyOfRound {
            policy: &self.policy,
        };
        let progress = Progress {
            part: round.part,
            changed: round.changed,
            thread_id: &round.thread_id,
            failing: &round.failing,
        };
        let (store, at_work) = (&self.engine.store, self.at_work());
        let asked = store
            .sql
            .note_progress
            .with(((&policy, &at_work), &progress));
        let noted = store
            .query_opt("note how far upkeep has come", asked)
            .await?;
        self.signed = Instant::now();
        Ok(match noted {
            Some(_) => ControlFlow::Continue(()),
            None => ControlFlow::Break(()),
        })
    }

    /// Ends the call, and the round if it is over.
    async fn end(mut self, round: &Round, is_over: bool) -> Result<()> {
        if std::mem::replace(&mut self.ended, true) {
            return Ok(());
        }
        end_call(&self.engine, &self.policy, &self.token, is_over).await?;
        if is_over {
            meter::round_done(round.begun);
        }
        Ok(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.ended || self.engine.store.is_closing() {
            return;
        }
        let (engine, policy, token) = (
            Arc::clone(&self.engine),
            std::mem::take(&mut self.policy),
            std::mem::take(&mut self.token),
        );
        // Others needn't wait until they see that this one gives no sign.
        let end = async move { end_call(&engine, &policy, &token, false).await };
        drop(self.engine.store.spawn(end));
    }
}

async fn end_call(engine: &Engine, policy: &str, token: &str, is_over: bool) -> Result<()> {
    let policy = PolicyOfRound { policy };
    let end = EndOfCall { token, is_over };
    let asked = engine.store.sql.end_call.with((&policy, &end));
    engine.store.execute("end upkeep", asked).await
}

impl Round {
    fn read(row: &Row) -> Self {
        Self {
            begun: row.get("begun"),
            done: row.get("done"),
            looks_at_all: row.get("looks_at_all"),
            part: row.get("part"),
            changed: row.get("changed"),
            thread_id: row.get("thread_id"),
            failing: each_once(row.get("failing")),
            failed: each_once(row.get("failed")),
        }
    }

    fn note_failure(&mut self, thread_id: &ThreadId) {
        let name = thread_id.as_str();
        if self.failing.len() < AGAIN_AT_MOST && self.failing.iter().all(|other| other != name) {
            self.failing.push(name.to_owned());
        }
    }

    fn next_part(&mut self) {
        self.part += 1;
        self.changed = None;
        self.thread_id.clear();
    }

    /// What the next part of the round looks at, or the threads that failed; none if it is over.
    fn part(&self, policy: &Retention) -> Option<Option<Range>> {
        if self.part == AGAIN {
            return Some(None);
        }
        let place = usize::try_from(self.part).ok()? - 1;
        self.ranges(policy).get(place).copied().map(Some)
    }

    /// The ranges of a round: what has come of age since the last one, and what has changed since.
    fn ranges(&self, policy: &Retention) -> Vec<Range> {
        let done = self.done.filter(|_| !self.looks_at_all);
        let aged = |age: Duration| {
            let before = |time: SystemTime| time.checked_sub(age);
            let from = match done {
                Some(done) => before(done)?.checked_sub(COMMITTED_WITHIN),
                None => None,
            };
            Some(Range {
                from,
                until: before(self.begun)?,
            })
        };
        let deleted = policy.delete_after.and_then(aged);
        let thinned = policy.newer_than.filter(|_| policy.thins()).and_then(aged);
        let changed = policy.thins().then_some(Range {
            from: done.and_then(|done| done.checked_sub(COMMITTED_WITHIN)),
            until: self.begun,
        });
        match (done, changed) {
            // Whatever has come of age is among all.
            (None, Some(all)) => vec![all],
            _ => [deleted, thinned, changed].into_iter().flatten().collect(),
        }
    }

    /// Up to when a thread must have changed last to be deleted.
    fn rested(&self, policy: &Retention) -> Option<SystemTime> {
        self.begun.checked_sub(policy.delete_after?)
    }
}

/// The names in their order, each once.
fn each_once(mut names: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// A policy as JSON, by which equal ones are known in all programs.
fn described(policy: &Retention) -> Value {
    let micros = |age: Option<Duration>| age.map(|age| micros(age).to_string());
    json!({
        "last": policy.last.to_string(),
        "newer_than": micros(policy.newer_than),
        "fork_tips": policy.fork_tips,
        "delete_after": micros(policy.delete_after),
        "only": policy.only.clone(),
        // One is described as in the time when there was one at most.
        "except": match policy.except.as_slice() {
            [] => Value::Null,
            [one] => one.clone().into(),
            several => several.iter().cloned().map(Value::from).collect(),
        },
    })
}
