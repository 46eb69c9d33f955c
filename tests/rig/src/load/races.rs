//! Writers, removers and readers that race in a few threads.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use checkpointer::{Checkpointer as _, List};
use db::Database;
use fastrand::Rng;
use futures_util::TryStreamExt as _;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::rewind::Rewind;
use super::{Checker, Churner, Event, Fact, Job, Process, Role, Worker, churn, content};
use crate::{PrivateServer, in_one_line, settings_for};

/// How many connections a worker has: fewer than callers, so that writes share transactions.
const POOL: u32 = 3;

/// How many callers there are in a worker.
const CALLERS: u64 = 6;

/// How long a thread is left alone between two steps back in time, at most.
const PEACE: Duration = Duration::from_millis(400);

/// Lets several processes write, remove and read in a few threads whose checkpoints share their
/// pieces, while those threads go back in time, so that whatever a writer believes to be stored may
/// be wrong.
#[derive(Debug, Clone, Copy)]
pub struct ChunkRaces {
    /// How many checkpoints are put.
    pub puts: u64,
    /// How many processes put them.
    pub writers: u64,
    /// How many processes remove what others have put.
    pub removers: u64,
    /// How many threads there are.
    pub threads: u64,
    /// What everything is chosen by.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// How often something was done, by what it is.
    pub done: BTreeMap<String, u64>,
    /// What must not be.
    pub violations: Vec<String>,
}

impl ChunkRaces {
    /// Runs it on an empty server. `command` starts a program that calls [`Worker::from_env`], and
    /// `progress` is told after each fact.
    pub async fn run(
        self,
        server: &PrivateServer,
        command: impl Fn() -> Command,
        mut progress: impl FnMut(&Counts),
    ) -> Result<Counts> {
        let database = Database::connect(&settings_for(&server.url(), &[])).await?;
        let checker = Checker::setup(database.clone()).await?;
        let rewind = Rewind::setup(database).await?;

        let (facts, mut heard) = mpsc::unbounded_channel();
        let start = |role: Role, number: u64, calls: u64| {
            let worker = self.worker(server, role, number, calls);
            let process = Process::start(command(), &worker)?;
            anyhow::Ok(tokio::spawn(listen(process, facts.clone())))
        };
        let calls = self.puts / (self.writers * CALLERS) + 1;
        let mut writers = Vec::new();
        for number in 0..self.writers {
            writers.push(start(Role::Writer, number, calls)?);
        }
        let mut others = vec![start(Role::Reader, 100, u64::MAX)?];
        for number in 0..self.removers {
            others.push(start(Role::Remover, 200 + number, u64::MAX)?);
        }

        let mut counts = Counts::default();
        let rewinding = self.rewind(&rewind);
        tokio::pin!(rewinding);
        while !writers.iter().all(|writer| writer.is_finished()) || !heard.is_empty() {
            tokio::select! {
                fact = heard.recv() => if let Some(fact) = fact {
                    counts.note(fact);
                    progress(&counts);
                },
                rewound = &mut rewinding => {
                    rewound?;
                    counts.did("step back in time");
                    rewinding.set(self.rewind(&rewind));
                }
                // The last writer may have ended without another word.
                () = sleep(PEACE) => {}
            }
        }
        // It may hold locks.
        rewinding.await?;
        for writer in writers {
            if !matches!(writer.await, Ok(Ok(true))) {
                counts.violations.push("a writer failed".to_owned());
            }
        }
        for other in others {
            if other.is_finished() {
                counts
                    .violations
                    .push("a remover or reader failed".to_owned());
            }
            other.abort();
            // Its process is killed when it is dropped.
            let _ = other.await;
        }
        while let Ok(fact) = heard.try_recv() {
            counts.note(fact);
        }
        self.check(&checker, &mut counts).await?;
        Ok(counts)
    }

    fn worker(&self, server: &PrivateServer, role: Role, number: u64, calls: u64) -> Worker {
        let callers = match role {
            Role::Writer => CALLERS,
            Role::Remover => 2,
            Role::Reader => 1,
        };
        let churner = |caller| Churner {
            role,
            threads: self.threads,
            calls,
            seed: Rng::with_seed(self.seed ^ (number * CALLERS + caller)).u64(..),
        };
        Worker {
            url: server.url(),
            name: format!("worker-{number}"),
            pool: POOL,
            job: Job::Churn((0..callers).map(churner).collect()),
        }
    }

    /// Takes a thread back to where it was a moment ago.
    async fn rewind(&self, rewind: &Rewind) -> Result<()> {
        let thread = fastrand::usize(..self.threads as usize);
        let thread_id = churn::thread_id(thread).context("call the checkpointer")?;
        rewind.remember(thread_id.as_str()).await?;
        sleep(PEACE.mul_f64(fastrand::f64())).await;
        rewind.bring_back(thread_id.as_str()).await
    }

    /// Checks everything that is left.
    async fn check(&self, checker: &Checker, counts: &mut Counts) -> Result<()> {
        counts.violations.extend(checker.tables().await?);
        let mut listed = checker.checkpointer().list(List::all());
        loop {
            match listed.try_next().await {
                Ok(Some(tuple)) => {
                    counts.did("checkpoint checked at the end");
                    counts.violations.extend(content::check(&tuple).err());
                }
                Ok(None) => return Ok(()),
                Err(error @ checkpointer::Error::Corrupt { .. }) => {
                    counts.violations.push(in_one_line(&error));
                    return Ok(());
                }
                Err(error) => return Err(error).context("list what is left"),
            }
        }
    }
}

impl Counts {
    fn note(&mut self, fact: Fact) {
        match fact.event {
            Event::Did(what) => self.did(&what),
            Event::Violation(what) => self.violations.push(what),
            _ => {}
        }
    }

    fn did(&mut self, what: &str) {
        *self.done.entry(what.to_owned()).or_default() += 1;
    }
}

/// Passes on what a worker says, and returns whether it has ended as it should.
async fn listen(mut process: Process, facts: mpsc::UnboundedSender<Fact>) -> Result<bool> {
    while let Some(fact) = process.next().await? {
        // The receiver is dropped only after the last writer has ended.
        let _ = facts.send(fact);
    }
    process.end().await
}
