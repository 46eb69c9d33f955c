//! Processes that agents run in, and that may be killed.

use std::env;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use checkpointer::{PostgresCheckpointer, ThreadId};
use db::Database;
use serde::{Deserialize, Serialize};
use settings::Settings;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinSet;

use super::{Agent, Churner, Fact, Plan};
use crate::race_along;

/// The variable that makes a process a worker.
const VARIABLE: &str = "BENCH_WORKER";

/// How long a worker's connections have to finish.
const CLOSES_WITHIN: Duration = Duration::from_secs(10);

/// What a process does that may be killed at any moment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Worker {
    /// The server.
    pub url: String,
    /// The name that the server shows for its connections.
    pub name: String,
    /// How many connections it has at most.
    pub pool: u32,
    /// What it does.
    pub job: Job,
}

/// What a worker does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Job {
    /// Runs agents, all at once. Of each it is said whether its thread was there before.
    Agents(Vec<(Plan, bool)>),
    /// Meets others on a few threads, several times at once.
    Churn(Vec<Churner>),
    /// Races along for the head of the thread of this name.
    Race(String),
}

impl Worker {
    /// What this process is to do, if it was started to be a worker.
    pub fn from_env() -> Result<Option<Self>> {
        match env::var(VARIABLE) {
            Ok(job) => serde_json::from_str(&job)
                .map(Some)
                .context("read what the worker is to do"),
            Err(_) => Ok(None),
        }
    }

    /// Tells a command, which must start a program that calls [`from_env`](Self::from_env), what to
    /// do.
    pub fn equip(&self, command: &mut Command) -> Result<()> {
        let job = serde_json::to_string(self).context("read what the worker is to do")?;
        command.env(VARIABLE, job);
        Ok(())
    }

    /// Does the work, and says on the standard output what has happened. Ends the process if the
    /// one that started it has ended.
    pub async fn run(self) -> Result<()> {
        // A racer reads its standard input itself.
        if !matches!(self.job, Job::Race(_)) {
            thread::spawn(end_with_parent);
        }
        let database = self.connect().await?;
        let checkpointer = PostgresCheckpointer::open(database.clone()).await;
        let checkpointer = checkpointer.context("make the tables")?;
        let mut tasks = JoinSet::new();
        match self.job {
            Job::Agents(agents) => {
                for (plan, begun) in agents {
                    let agent = Agent::new(plan, checkpointer.clone(), |fact| say(&fact));
                    tasks.spawn(async move { agent.run(begun).await });
                }
            }
            Job::Race(thread) => {
                let thread_id = ThreadId::new(thread).context("call the checkpointer")?;
                race_along(&checkpointer, &thread_id).await?;
            }
            Job::Churn(churners) => {
                for churner in churners {
                    tasks.spawn(churner.run(checkpointer.clone(), |fact| say(&fact)));
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("run a task of the worker")?;
        }
        Ok(database.close(CLOSES_WITHIN).await?)
    }

    async fn connect(&self) -> Result<Database> {
        let settings = Settings::builder(&self.url).application_name(&self.name);
        let settings = settings.pool_max(self.pool).build()?;
        (Database::connect(&settings).await).context("connect to the server")
    }
}

/// Writes a fact in one go, so that it is there as a whole or not at all when the process is
/// killed.
fn say(fact: &Fact) {
    let line = format!("{fact}\n");
    // If it can't be written, the process that started this one has ended.
    let _ = io::stdout().lock().write_all(line.as_bytes());
}

/// The process that starts a worker keeps its standard input open.
fn end_with_parent() {
    let _ = io::stdin().lock().read(&mut [0]);
    std::process::exit(1);
}

/// A process that runs a worker.
#[derive(Debug)]
pub struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts a worker: `command` must start a program that calls [`Worker::from_env`].
    pub fn start(mut command: Command, worker: &Worker) -> Result<Self> {
        worker.equip(&mut command)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn();
        let mut child = child.context("start a worker")?;
        let stdout = child.stdout.take();
        let stdout = stdout.context("a worker has no standard output")?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// Waits for the next fact; none when the worker has ended.
    pub async fn next(&mut self) -> Result<Option<Fact>> {
        // What is no fact belongs to the program around: a test says that it runs.
        while let Some(line) = self.lines.next_line().await.context("listen to a worker")? {
            if let Ok(fact) = serde_json::from_str(&line) {
                return Ok(Some(fact));
            }
        }
        Ok(None)
    }

    /// Waits until it has ended by itself, and says whether as it should.
    pub async fn end(mut self) -> Result<bool> {
        let status = self.child.wait().await;
        Ok(status.context("wait for a worker")?.success())
    }

    /// Kills it with SIGKILL, and returns what it had said before and wasn't read yet.
    pub async fn kill(mut self) -> Result<Vec<Fact>> {
        self.child.kill().await.context("kill a worker")?;
        let mut facts = Vec::new();
        while let Some(fact) = self.next().await? {
            facts.push(fact);
        }
        Ok(facts)
    }

    /// Stops it where it is, or lets it go on.
    pub fn pause(&self, paused: bool) -> Result<()> {
        let signal = if paused { "-STOP" } else { "-CONT" };
        let pid = self.child.id().unwrap_or_default().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        let status = status.context("run `kill`")?;
        ensure!(status.success(), "a worker can't be sent {signal}");
        Ok(())
    }
}
