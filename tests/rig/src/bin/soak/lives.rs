//! The agents and those who meddle with their threads.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use checkpointer::{
    Checkpointer as _, DeleteThread, Error, GetTuple, List, ListThreads, PostgresCheckpointer,
    Prune, PruneStrategy, ThreadId,
};
use db::Database;
use futures_util::future::{join, try_join_all};
use futures_util::{FutureExt as _, TryStreamExt as _};
use rig::{Agent, Checker, Event, Fact, Job, Ledger, Life, Plan, PrivateServer, Process, Worker};
use settings::Settings;
use tokio::time::{sleep, timeout};

use crate::tally::Tally;
use crate::watch::Watch;
use crate::{faults, watch};

/// The agents that run in this process at once.
const RESIDENTS: usize = 8;

/// The connections of this process.
pub(crate) const POOL: u32 = 8;

/// The processes that are killed, their agents and their connections.
pub(crate) const WORKERS: usize = 2;
const AGENTS_OF_WORKER: usize = 4;
pub(crate) const POOL_OF_WORKER: u32 = 4;

/// The steps of an agent.
const STEPS: u64 = 24;

/// How often another program meddles with a thread.
const PAUSE: Duration = Duration::from_millis(300);

/// How long what is under way has to end when the time is over.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

/// What all that runs at once shares.
#[derive(Debug)]
pub(crate) struct Soak {
    pub(crate) server: PrivateServer,
    pub(crate) checker: Checker,
    seed: u64,
    next_agent: AtomicU64,
    over: AtomicBool,
    known: Mutex<Known>,
    /// Held while a thread is pruned: what is checked must not change meanwhile.
    pruning: tokio::sync::Mutex<()>,
}

/// What is known of the agents, and what was counted.
#[derive(Debug, Default)]
struct Known {
    ledger: Ledger,
    tally: Tally,
    /// The agents of this process that are at work.
    live: BTreeSet<u64>,
    /// The agents whose threads were deleted, or are about to be.
    deleted: BTreeSet<u64>,
}

impl Soak {
    pub(crate) async fn start(server: PrivateServer, seed: u64) -> anyhow::Result<Self> {
        let settings = Settings::builder(server.url()).application_name("soak");
        let database = Database::connect(&settings.pool_max(POOL).build()?).await?;
        Ok(Self {
            checker: Checker::setup(database).await?,
            server,
            seed,
            next_agent: AtomicU64::new(0),
            over: AtomicBool::new(false),
            known: Mutex::default(),
            pruning: tokio::sync::Mutex::default(),
        })
    }

    /// Runs everything for so long, and then what has begun to its end.
    pub(crate) async fn run(&self, time: Duration) -> anyhow::Result<Tally> {
        let mut everybody = vec![
            self.prune().boxed_local(),
            self.delete().boxed_local(),
            self.read().boxed_local(),
            faults::inject(self).boxed_local(),
        ];
        everybody.extend((0..RESIDENTS).map(|_| self.residents().boxed_local()));
        everybody.extend((0..WORKERS).map(|number| self.workers(number).boxed_local()));
        let everybody = async {
            let ended = timeout(time + ENDS_WITHIN, try_join_all(everybody)).await;
            // An agent may have ended early, with an error.
            self.end();
            ended
        };
        let (ended, watch) = join(everybody, watch::watch(self, time)).await;
        match ended {
            Ok(ended) => drop(ended?),
            Err(_) => self.violated([format!("not everybody ended within {ENDS_WITHIN:?}")]),
        }
        self.finish(watch).await?;
        Ok(self.known().tally.clone())
    }

    /// The last checks, when all work has ended.
    async fn finish(&self, watch: Watch) -> anyhow::Result<()> {
        self.violated(self.checker.tables().await?);
        self.checker.checkpointer().close().await?;
        let left = watch::connections_left(self).await?;
        let mut known = self.known();
        watch.report(&mut known.tally);
        known.tally.violated(left);
        Ok(())
    }

    /// Runs one agent after the other in this process.
    async fn residents(&self) -> anyhow::Result<()> {
        while !self.is_over() {
            let plan = self.take_on();
            let checkpointer = self.checkpointer().clone();
            self.known().live.insert(plan.agent);
            let agent = Agent::new(plan, checkpointer, |fact| self.note(fact));
            agent.run(false).await;
            self.known().live.remove(&plan.agent);
            // A prune that has begun while the agent was at work may still be under way.
            drop(self.pruning.lock().await);
            self.afterlife(plan).await?;
        }
        Ok(())
    }

    /// Runs agents in a process that is killed again and again.
    async fn workers(&self, number: usize) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("find this program")?;
        while !self.is_over() {
            let plans: Vec<_> = (0..AGENTS_OF_WORKER).map(|_| self.take_on()).collect();
            loop {
                let lives = plans.iter().map(|plan| (*plan, self.life(plan.agent)));
                let busy = lives.filter(|(_, life)| !life.is_finished());
                let busy: Vec<_> = busy.map(|(plan, life)| (plan, life.has_begun())).collect();
                if busy.is_empty() {
                    break;
                }
                let worker = Worker {
                    url: self.server.url(),
                    name: format!("soak-worker-{number}"),
                    pool: POOL_OF_WORKER,
                    job: Job::Agents(busy),
                };
                let process = Process::start(Command::new(&program), &worker)?;
                self.watch_worker(process).await?;
            }
            for plan in plans {
                self.afterlife(plan).await?;
            }
        }
        Ok(())
    }

    /// Listens to a worker until it ends, or has lived long enough.
    async fn watch_worker(&self, mut process: Process) -> anyhow::Result<()> {
        for _ in 0..fastrand::u32(20..500) {
            match process.next().await? {
                Some(fact) => self.note(fact),
                None => {
                    if !process.end().await? {
                        self.violated(["a worker failed".to_owned()]);
                    }
                    return Ok(());
                }
            }
        }
        for fact in process.kill().await? {
            self.note(fact);
        }
        self.known().tally.broke("programs killed");
        Ok(())
    }

    /// Checks a thread whose agent has ended, and does with it what people do with old threads.
    async fn afterlife(&self, plan: Plan) -> anyhow::Result<()> {
        let thread_id = plan.thread_id()?;
        let life = self.life(plan.agent);
        let was_deleted = self.known().deleted.remove(&plan.agent);
        if life.is_gone() && !was_deleted {
            self.violated([format!("{thread_id} is gone, and was never deleted")]);
        }
        if !was_deleted {
            self.check(&thread_id, &plan, &life).await?;
            if fastrand::u8(..3) == 0 {
                self.copy(&thread_id, &plan, &life).await?;
            }
            if fastrand::u8(..3) == 0 {
                let run = format!("agent-{} run {}", plan.agent, STEPS / 8);
                let runs = [run];
                self.insist("runs deleted", async || {
                    self.checkpointer().delete_for_runs(&runs).await?.complete()
                })
                .await;
                // What was acknowledged needn't be there any more.
                self.check(&thread_id, &plan, &Life::of_pruned()).await?;
            }
        }
        self.remove(&thread_id).await?;
        self.known().ledger.forget(plan.agent);
        Ok(())
    }

    async fn copy(&self, source: &ThreadId, plan: &Plan, life: &Life) -> anyhow::Result<()> {
        let copy = ThreadId::new(format!("{source}-copy"))?;
        self.insist("threads copied", async || {
            match self.checkpointer().copy_thread(source, &copy).await {
                // By an attempt that was reported as failed.
                Err(Error::ThreadExists { .. }) => Ok(()),
                copied => copied,
            }
        })
        .await;
        self.check(&copy, plan, life).await?;
        self.remove(&copy).await
    }

    /// Deletes a thread, which then must be gone.
    async fn remove(&self, thread_id: &ThreadId) -> anyhow::Result<()> {
        self.insist("threads deleted", async || {
            let delete = DeleteThread::new(thread_id)?;
            self.checkpointer().delete_thread(delete).await
        })
        .await;
        let found = self.insist("heads read", async || {
            self.checkpointer()
                .get_tuple(GetTuple::head(thread_id)?)
                .await
        });
        if found.await.flatten().is_some() {
            self.violated([format!("{thread_id} was deleted, and is there")]);
        }
        Ok(())
    }

    async fn check(&self, thread_id: &ThreadId, plan: &Plan, life: &Life) -> anyhow::Result<()> {
        loop {
            match self.checker.thread(thread_id, plan, life).await {
                Ok(violations) => {
                    self.violated(violations);
                    self.known().tally.did("threads checked");
                    return Ok(());
                }
                // A check doesn't repeat all of its calls by itself.
                Err(error) if is_transient(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Prunes threads while their agents work.
    async fn prune(&self) -> anyhow::Result<()> {
        while let Some(plan) = self.choose().await {
            let _pruning = self.pruning.lock().await;
            if !self.known().live.contains(&plan.agent) {
                continue;
            }
            let thread_id = plan.thread_id()?;
            self.known().ledger.prune(plan.agent);
            self.insist("threads pruned", async || {
                let prune = Prune::new(vec![thread_id.clone()], PruneStrategy::KeepLatest)?;
                self.checkpointer().prune(prune).await?.complete()
            })
            .await;
        }
        Ok(())
    }

    /// Deletes threads while their agents work.
    async fn delete(&self) -> anyhow::Result<()> {
        while let Some(plan) = self.choose().await {
            if fastrand::u8(..15) > 0 {
                continue;
            }
            self.known().deleted.insert(plan.agent);
            self.remove_under_agent(&plan).await?;
        }
        Ok(())
    }

    async fn remove_under_agent(&self, plan: &Plan) -> anyhow::Result<()> {
        let thread_id = plan.thread_id()?;
        self.insist("threads deleted under their agents", async || {
            let delete = DeleteThread::new(&thread_id)?;
            self.checkpointer().delete_thread(delete).await
        })
        .await;
        Ok(())
    }

    /// Reads while others write, and checks what it reads.
    async fn read(&self) -> anyhow::Result<()> {
        while let Some(plan) = self.choose().await {
            let thread_id = plan.thread_id()?;
            let read = self.insist("histories read", async || {
                let list = List::thread(&thread_id)?.limit(8);
                let listed = self.checkpointer().list(list);
                listed.try_collect::<Vec<_>>().await
            });
            let read = read.await.unwrap_or_default();
            let wrong = read.iter().filter_map(|tuple| plan.verify(tuple).err());
            self.violated(wrong.map(|wrong| format!("{thread_id}: {wrong}")));
            self.insist("lists of threads read", async || {
                let threads = self.checkpointer().threads(ListThreads::all().limit(20));
                threads.try_collect::<Vec<_>>().await
            })
            .await;
        }
        Ok(())
    }

    /// Waits a moment, and chooses an agent of this process; none when the time is over.
    async fn choose(&self) -> Option<Plan> {
        while !self.is_over() {
            sleep(PAUSE.mul_f64(fastrand::f64())).await;
            let live: Vec<u64> = self.known().live.iter().copied().collect();
            if let Some(agent) = fastrand::choice(live) {
                return Some(self.plan(agent));
            }
        }
        None
    }

    /// Makes a call until it succeeds. One that fails for good is a violation.
    async fn insist<T>(
        &self,
        what: &'static str,
        mut call: impl AsyncFnMut() -> checkpointer::Result<T>,
    ) -> Option<T> {
        loop {
            match call().await {
                Ok(done) => {
                    self.known().tally.did(what);
                    return Some(done);
                }
                Err(error) if error.is_transient() || error.is_outcome_unknown() => {
                    self.known()
                        .tally
                        .did("calls that failed after all retries");
                }
                Err(error) => {
                    self.violated([format!("{what}: {:#}", anyhow::Error::from(error))]);
                    return None;
                }
            }
        }
    }

    fn take_on(&self) -> Plan {
        self.plan(self.next_agent.fetch_add(1, Ordering::Relaxed))
    }

    fn plan(&self, agent: u64) -> Plan {
        Plan {
            seed: self.seed,
            agent,
            steps: STEPS,
        }
    }

    fn note(&self, fact: Fact) {
        let mut known = self.known();
        known.tally.note(&fact);
        if matches!(fact.event, Event::Begun { .. }) && known.deleted.contains(&fact.agent) {
            // It may have been deleted before it began.
            known.ledger.prune(fact.agent);
        }
        known.ledger.note(fact);
        let violations = known.ledger.take_violations();
        known.tally.violated(violations);
    }

    fn life(&self, agent: u64) -> Life {
        self.known().ledger.life(agent)
    }

    fn checkpointer(&self) -> &PostgresCheckpointer {
        self.checker.checkpointer()
    }

    /// Lets everybody end what they have begun.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    pub(crate) fn violated(&self, violations: impl IntoIterator<Item = String>) {
        self.known().tally.violated(violations);
    }

    pub(crate) fn broke(&self, fault: &'static str) {
        self.known().tally.broke(fault);
    }

    pub(crate) fn progress(&self) -> String {
        self.known().tally.progress()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the same call may succeed later.
fn is_transient(error: &anyhow::Error) -> bool {
    let of_call = error.downcast_ref().map(Error::is_transient);
    let of_look = error.downcast_ref().map(db::Error::is_transient);
    of_call.or(of_look).unwrap_or(false)
}
