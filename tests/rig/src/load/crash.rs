//! Crashes under load, and a check after each.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use db::{Database, GenericClient, Statement, Type};
use fastrand::Rng;
use tokio::time::{sleep, timeout};

use super::{Checker, Event, Fact, Job, Ledger, Plan, Process, Worker};
use crate::{PrivateServer, Stop, settings_for};

/// How many connections a worker has.
const POOL: u32 = 6;

/// The most facts that are waited for before a crash.
const FACTS: u32 = 150;

/// The longest time between a fact and the crash: about as long as a statement takes.
const MOMENT: Duration = Duration::from_millis(3);

/// After so long without a word a worker that is stopped has said all.
const SILENCE: Duration = Duration::from_millis(50);

/// Crashes something again and again while agents work, and checks each time what is stored.
#[derive(Debug, Clone, Copy)]
pub struct Crashes {
    /// What crashes.
    pub victim: Victim,
    /// How often.
    pub crashes: u32,
    /// How many agents work at once.
    pub agents: u64,
    /// How many steps each makes.
    pub steps: u64,
    /// What everything is chosen by.
    pub seed: u64,
}

/// What crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    /// The process that the agents run in, with SIGKILL.
    Worker,
    /// The server, all its processes at once.
    Server,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct CrashFigures {
    /// How often the victim crashed.
    pub crashes: u32,
    /// The checkpoints that were acknowledged.
    pub puts: u64,
    /// The outputs that were acknowledged.
    pub outputs: u64,
    /// The puts that found another head.
    pub conflicts: u64,
    /// The calls that failed after all their retries.
    pub interruptions: u64,
    /// The checks of an agent.
    pub checks: u64,
    /// What must not be.
    pub violations: Vec<String>,
}

/// A run of [`Crashes`].
struct Run<'a, C> {
    of: Crashes,
    server: &'a PrivateServer,
    command: C,
    checker: Checker,
    rng: Rng,
    ledger: Ledger,
    figures: CrashFigures,
    /// The agents that work at the moment.
    plans: Vec<Plan>,
    workers: u32,
}

impl Crashes {
    /// Runs it on a server of its own. `command` starts a program that calls [`Worker::from_env`],
    /// and `progress` is told after each crash.
    pub async fn run(
        self,
        server: &PrivateServer,
        command: impl Fn() -> Command,
        mut progress: impl FnMut(&CrashFigures),
    ) -> Result<CrashFigures> {
        let database = Database::connect(&settings_for(&server.url(), &[])).await?;
        let mut run = Run {
            of: self,
            server,
            command,
            checker: Checker::setup(database).await?,
            rng: Rng::with_seed(self.seed),
            ledger: Ledger::default(),
            figures: CrashFigures::default(),
            plans: Vec::new(),
            workers: 0,
        };
        run.take_on();
        let mut worker = run.start()?;
        while run.figures.crashes < self.crashes {
            let Some(busy) = run.watch(worker).await? else {
                // All agents have finished.
                run.check().await?;
                run.take_on();
                worker = run.start()?;
                continue;
            };
            worker = match self.victim {
                Victim::Worker => run.crash_worker(busy).await?,
                Victim::Server => run.crash_server(busy).await?,
            };
            run.figures.crashes += 1;
            progress(&run.figures);
        }
        while let Some(fact) = worker.next().await? {
            run.note(fact);
        }
        run.must_end_well(worker).await?;
        run.check().await?;
        Ok(run.figures)
    }
}

impl<C: Fn() -> Command> Run<'_, C> {
    /// Chooses new agents.
    fn take_on(&mut self) {
        let first = self.plans.last().map_or(0, |last| last.agent + 1);
        let (seed, steps) = (self.of.seed, self.of.steps);
        let plan = |agent| Plan { seed, agent, steps };
        self.plans = (first..first + self.of.agents).map(plan).collect();
    }

    /// Starts a worker for the agents that haven't finished.
    fn start(&mut self) -> Result<Process> {
        self.workers += 1;
        let lives = self
            .plans
            .iter()
            .map(|plan| (*plan, self.ledger.life(plan.agent)));
        let busy = lives.filter(|(_, life)| !life.is_finished());
        let worker = Worker {
            url: self.server.url(),
            name: self.worker_name(),
            pool: POOL,
            job: Job::Agents(busy.map(|(plan, life)| (plan, life.has_begun())).collect()),
        };
        Process::start((self.command)(), &worker)
    }

    fn worker_name(&self) -> String {
        format!("worker-{}", self.workers)
    }

    /// Listens for a while. None if the worker has ended, after the work of its agents.
    async fn watch(&mut self, mut worker: Process) -> Result<Option<Process>> {
        for _ in 0..self.rng.u32(1..=FACTS) {
            match worker.next().await? {
                Some(fact) => self.note(fact),
                None => {
                    self.must_end_well(worker).await?;
                    return Ok(None);
                }
            }
        }
        sleep(MOMENT.mul_f64(self.rng.f64())).await;
        Ok(Some(worker))
    }

    async fn crash_worker(&mut self, worker: Process) -> Result<Process> {
        for fact in worker.kill().await? {
            self.note(fact);
        }
        // Half of the time what the server still does for the dead meets the next worker.
        if self.rng.bool() {
            self.wait_for_backends().await?;
            self.check().await?;
        }
        if self.all_finished() {
            self.check().await?;
            self.take_on();
        }
        self.start()
    }

    async fn crash_server(&mut self, mut worker: Process) -> Result<Process> {
        self.server.stop(Stop::Immediate).await?;
        // The check must see what the server has recovered, before any agent goes on.
        worker.pause(true)?;
        self.server.start_again().await?;
        while let Ok(fact) = timeout(SILENCE, worker.next()).await {
            match fact? {
                Some(fact) => self.note(fact),
                None => break,
            }
        }
        self.check().await?;
        worker.pause(false)?;
        Ok(worker)
    }

    fn note(&mut self, fact: Fact) {
        match &fact.event {
            Event::Put { .. } => self.figures.puts += 1,
            Event::Recorded { .. } => self.figures.outputs += 1,
            Event::Conflict => self.figures.conflicts += 1,
            Event::Interrupted(_) => self.figures.interruptions += 1,
            Event::Gone => self.figures.violations.push(format!("{fact}")),
            Event::Begun { .. } | Event::Finished | Event::Did(_) | Event::Violation(_) => {}
        }
        self.ledger.note(fact);
        self.figures
            .violations
            .extend(self.ledger.take_violations());
    }

    fn all_finished(&self) -> bool {
        let mut plans = self.plans.iter();
        plans.all(|plan| self.ledger.life(plan.agent).is_finished())
    }

    async fn must_end_well(&mut self, worker: Process) -> Result<()> {
        if !worker.end().await? || !self.all_finished() {
            let violation = "a worker ended before its agents had finished".to_owned();
            self.figures.violations.push(violation);
        }
        Ok(())
    }

    /// Waits until the server has noticed that a worker is gone.
    async fn wait_for_backends(&self) -> Result<()> {
        let statement = Statement::new(
            "-- rig::backends
SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE application_name = $1",
            &[Type::TEXT],
        );
        let worker = self.worker_name();
        loop {
            let connection = self
                .checker
                .database()
                .get()
                .await
                .context("look at the tables")?;
            let row = connection.query_one(&statement, &[&worker]).await;
            if row.context("look at the tables")?.get::<_, i64>(0) == 0 {
                return Ok(());
            }
            drop(connection);
            sleep(MOMENT).await;
        }
    }

    async fn check(&mut self) -> Result<()> {
        let plans = self.plans.iter();
        let agents: Vec<_> = plans
            .map(|plan| (*plan, self.ledger.life(plan.agent)))
            .collect();
        for (plan, life) in &agents {
            let violations = self.checker.agent(plan, life).await?;
            self.figures.violations.extend(violations);
            self.figures.checks += 1;
        }
        let found = self.checker.tables().await?;
        self.figures.violations.extend(found);
        let found = self.checker.waste(&agents).await?;
        self.figures.violations.extend(found);
        Ok(())
    }
}
