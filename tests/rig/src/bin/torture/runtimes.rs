//! Tokio runtimes that come and go while agents on them share one database and one checkpointer, whose
//! connections the server ends now and then.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use checkpointer::{Checkpointer as _, PostgresCheckpointer};
use db::Database;
use fastrand::Rng;
use rig::{Agent, Checker, Event, Fact, Ledger, Plan, PrivateServer, settings_for};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// How many runtimes there are at the same moment, besides the database's own.
const AT_ONCE: u64 = 4;

/// How many agents work on one of them.
const AGENTS: u64 = 3;

/// How many checkpoints an agent puts.
const STEPS: u64 = 30;

/// How many facts a runtime lasts for at most.
const FACTS: u32 = 40;

/// After how many facts, at most, connections are ended again.
const KILLED_AFTER: u64 = 100;

/// As many connections are kept by what ends with its runtime as are left for the agents.
const POOL: u32 = 2 * AT_ONCE as u32;

/// After so long without any fact the agents hang.
const LONG: Duration = Duration::from_secs(30);

/// What the threads share, on which the runtimes are.
struct Shared {
    database: Database,
    checkpointer: PostgresCheckpointer,
    ledger: Mutex<Ledger>,
    failed: Mutex<Vec<String>>,
    facts: watch::Sender<u64>,
    /// How many connections were ended.
    killed: Mutex<u64>,
}

/// A thread that has a runtime, then another one, and so on.
struct Site {
    shared: Arc<Shared>,
    rng: Rng,
    seed: u64,
    /// The agents that work here at the moment.
    plans: Vec<Plan>,
    next_agent: u64,
}

pub(crate) async fn runtimes(count: u32, seed: u64) -> anyhow::Result<Vec<String>> {
    println!("\n{count} runtimes that come and go while their agents work");
    let server = PrivateServer::start(&[]).await?;
    let pool = POOL.to_string();
    let settings = settings_for(&server.url(), &[("DB_POOL_MAX", &pool)]);
    let database = Database::connect(&settings).await?;
    let shared = Arc::new(Shared {
        checkpointer: PostgresCheckpointer::setup(database.clone()).await?,
        database,
        ledger: Mutex::default(),
        failed: Mutex::default(),
        facts: watch::Sender::new(0),
        killed: Mutex::default(),
    });
    let sites: Vec<_> = (0..AT_ONCE)
        .map(|site| Site::new(&shared, site, seed))
        .collect();
    let each = count.div_ceil(AT_ONCE as u32);
    let threads = sites.into_iter().map(|site| site.start(each)).collect();
    let mut violations = Vec::new();
    let ended = tokio::select! {
        ended = wait(&shared, threads) => ended,
        failed = shared.kill(&server, Rng::with_seed(seed)) => match failed? {},
    };
    match ended {
        Some(sites) => violations.extend(shared.check(&server, &sites?).await?),
        None => violations.push(format!("nothing happened for {LONG:?}: the agents hang")),
    }
    violations.append(&mut lock(&shared.failed));
    Ok(violations)
}

/// Waits for the threads, as long as something happens.
async fn wait(
    shared: &Shared,
    threads: Vec<JoinHandle<Vec<Plan>>>,
) -> Option<anyhow::Result<Vec<Plan>>> {
    let mut facts = shared.facts.subscribe();
    let ended = tokio::task::spawn_blocking(|| {
        let ended = threads.into_iter().map(|thread| {
            let plans = thread.join();
            plans.map_err(|_| anyhow::anyhow!("a thread has panicked"))
        });
        let plans: anyhow::Result<Vec<_>> = ended.collect();
        plans.map(|plans| plans.into_iter().flatten().collect())
    });
    tokio::pin!(ended);
    loop {
        tokio::select! {
            plans = &mut ended => return plans.ok(),
            fact = timeout(LONG, facts.changed()) => {
                fact.ok()?.ok()?;
            }
        }
    }
}

impl Shared {
    fn note(&self, fact: Fact) {
        // What is lost with a connection is tried again, so that each failure comes from a runtime.
        if let Event::Interrupted(_) | Event::Gone = &fact.event {
            lock(&self.failed).push(fact.to_string());
        }
        lock(&self.ledger).note(fact);
        self.facts.send_modify(|facts| *facts += 1);
    }

    /// Ends some connections again and again: those that follow are opened on behalf of callers whose
    /// runtimes end, too.
    async fn kill(&self, server: &PrivateServer, mut rng: Rng) -> anyhow::Result<Infallible> {
        let killer = rig::client(&server.url()).await?;
        let kill = "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity \
             WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
             ORDER BY random() LIMIT $1) victims";
        let mut facts = self.facts.subscribe();
        loop {
            let due = *facts.borrow() + rng.u64(1..=KILLED_AFTER);
            facts.wait_for(|facts| *facts >= due).await?;
            let at_most = rng.i64(1..=i64::from(POOL));
            *lock(&self.killed) += killer.execute(kill, &[&at_most]).await?;
        }
    }

    /// Checks that all connections are returned, that everything closes, and what is stored.
    async fn check(&self, server: &PrivateServer, plans: &[Plan]) -> anyhow::Result<Vec<String>> {
        let mut violations = lock(&self.ledger).take_violations();
        let all = (0..POOL).map(|_| self.database.get());
        let all = timeout(LONG, futures_util::future::try_join_all(all)).await;
        if !matches!(all, Ok(Ok(_))) {
            let state = self.database.state();
            violations.push(format!("not all connections are returned: {state:?}"));
        }
        drop(all);
        self.close(&mut violations).await;
        let database = Database::connect(&settings_for(&server.url(), &[])).await?;
        let checker = Checker::setup(database).await?;
        for plan in plans {
            let life = lock(&self.ledger).life(plan.agent);
            violations.extend(checker.agent(plan, &life).await?);
        }
        violations.extend(checker.tables().await?);
        println!(
            "  {} facts of {} agents checked, {} connections ended",
            *self.facts.borrow(),
            plans.len(),
            *lock(&self.killed)
        );
        Ok(violations)
    }

    async fn close(&self, violations: &mut Vec<String>) {
        match timeout(LONG, self.checkpointer.close()).await {
            Ok(Ok(())) => {}
            // What is left unanswered of a runtime that ended can have met another head.
            Ok(Err(error)) => violations.push(rig::in_one_line(&error)),
            Err(_) => violations.push("the checkpointer doesn't close".to_owned()),
        }
        if let Err(error) = self.database.close(LONG).await {
            violations.push(rig::in_one_line(&error));
        }
    }
}

impl Site {
    fn new(shared: &Arc<Shared>, number: u64, seed: u64) -> Self {
        Self {
            shared: Arc::clone(shared),
            rng: Rng::with_seed(seed ^ number),
            seed,
            plans: Vec::new(),
            next_agent: number << 32,
        }
    }

    /// Has so many runtimes, one after the other, and returns the plans of all agents.
    fn start(mut self, runtimes: u32) -> JoinHandle<Vec<Plan>> {
        thread::spawn(move || {
            let mut all = Vec::new();
            for _ in 0..runtimes {
                all.extend(self.take_on());
                self.run();
            }
            all
        })
    }

    /// Replaces the agents that have finished, and returns the new ones.
    fn take_on(&mut self) -> Vec<Plan> {
        let ledger = lock(&self.shared.ledger);
        (self.plans).retain(|plan| !ledger.life(plan.agent).is_finished());
        drop(ledger);
        let missing = AGENTS - self.plans.len() as u64;
        let agents = self.next_agent..self.next_agent + missing;
        let (seed, steps) = (self.seed, STEPS);
        let new: Vec<_> = agents.map(|agent| Plan { seed, agent, steps }).collect();
        self.next_agent += missing;
        self.plans.extend(&new);
        new
    }

    /// Runs the agents on a runtime of its own, which ends in the middle of their work.
    fn run(&mut self) {
        let runtime = self.runtime();
        let (facts, mut heard) = mpsc::unbounded_channel();
        for plan in &self.plans {
            let shared = Arc::clone(&self.shared);
            let begun = lock(&shared.ledger).life(plan.agent).has_begun();
            let (facts, checkpointer) = (facts.clone(), shared.checkpointer.clone());
            let agent = Agent::new(*plan, checkpointer, move |fact| {
                shared.note(fact);
                // The runtime may be about to end.
                let _ = facts.send(());
            });
            runtime.spawn(async move { agent.run(begun).await });
        }
        drop(facts);
        runtime.spawn(keep_connection(self.shared.database.clone()));
        let until = self.rng.u32(1..FACTS);
        runtime.block_on(async {
            for _ in 0..until {
                // None once all agents have finished.
                if heard.recv().await.is_none() {
                    return;
                }
            }
        });
    }

    /// A runtime of either kind, with timers and sockets of its own or without.
    fn runtime(&mut self) -> Runtime {
        let mut builder = match self.rng.bool() {
            true => Builder::new_current_thread(),
            false => Builder::new_multi_thread(),
        };
        builder.worker_threads(self.rng.usize(1..=3));
        if self.rng.bool() {
            builder.enable_all();
        }
        builder.build().expect("a runtime can be made")
    }
}

/// Keeps a connection until the runtime ends.
async fn keep_connection(database: Database) {
    let _connection = database.get().await;
    std::future::pending::<()>().await;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
