use std::env;
use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use checkpointer::{PostgresCheckpointer, ThreadId};
use db::Database;
use serde::{Deserialize, Serialize};
use settings::Settings;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::task::JoinSet;

use super::{Agent, Churner, Fact, Plan};
use crate::{Error, Result, race_along};

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
    ///
    /// # Errors
    ///
    /// [`Error::Job`] if that can't be understood.
    pub fn from_env() -> Result<Option<Self>> {
        match env::var(VARIABLE) {
            Ok(job) => serde_json::from_str(&job)
                .map(Some)
                .map_err(|source| Error::Job { source }),
            Err(_) => Ok(None),
        }
    }

    /// Tells a command, which must start a program that calls [`from_env`](Self::from_env), what to
    /// do.
    ///
    /// # Errors
    ///
    /// [`Error::Job`].
    pub fn equip(&self, command: &mut Command) -> Result<()> {
        let job = serde_json::to_string(self).map_err(|source| Error::Job { source })?;
        command.env(VARIABLE, job);
        Ok(())
    }

    /// Does the work, and says on the standard output what has happened. Ends the process if the
    /// one that started it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Settings`], [`Error::Connect`] and [`Error::Tables`] if the server can't be used.
    ///
    /// # Cancel safety
    ///
    /// If dropped, calls may be under way.
    pub async fn run(self) -> Result<()> {
        // A racer reads its standard input itself.
        if !matches!(self.job, Job::Race(_)) {
            thread::spawn(end_with_parent);
        }
        let database = self.connect().await?;
        let checkpointer = PostgresCheckpointer::open(database.clone()).await;
        let checkpointer = checkpointer.map_err(|source| Error::Tables { source })?;
        let mut tasks = JoinSet::new();
        match self.job {
            Job::Agents(agents) => {
                for (plan, begun) in agents {
                    let agent = Agent::new(plan, checkpointer.clone(), |fact| say(&fact));
                    tasks.spawn(async move { agent.run(begun).await });
                }
            }
            Job::Race(thread) => {
                let thread_id = ThreadId::new(thread).map_err(|source| Error::Call { source })?;
                race_along(&checkpointer, &thread_id).await?;
            }
            Job::Churn(churners) => {
                for churner in churners {
                    tasks.spawn(churner.run(checkpointer.clone(), |fact| say(&fact)));
                }
            }
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|failed| Error::Worker {
                operation: "run a task of",
                source: failed.into(),
            })?;
        }
        let closed = database.close(CLOSES_WITHIN).await;
        closed.map_err(|source| Error::Connect { source })
    }

    async fn connect(&self) -> Result<Database> {
        let variables = [
            ("DATABASE_URL", self.url.clone()),
            ("DB_APPLICATION_NAME", self.name.clone()),
            ("DB_POOL_MAX", self.pool.to_string()),
        ];
        let settings = Settings::from_iter(variables);
        let settings = settings.map_err(|source| Error::Settings { source })?;
        let database = Database::connect(&settings).await;
        database.map_err(|source| Error::Connect { source })
    }
}

/// Writes a fact in one go, so that it is there as a whole or not at all when the process is
/// killed.
fn say(fact: &Fact) {
    let line = format!("{fact}\n");
    // Whoever started this process has ended if it can't be written.
    let _ = io::stdout().lock().write_all(line.as_bytes());
}

/// Whoever starts a worker keeps its standard input open.
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
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if it can't be started.
    pub fn start(mut command: Command, worker: &Worker) -> Result<Self> {
        let failed = |source| Error::Worker {
            operation: "start",
            source,
        };
        worker.equip(&mut command)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().map_err(failed)?;
        let stdout = child.stdout.take();
        let stdout = stdout.ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self {
            child,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// Waits for the next fact; none when the worker has ended.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if it can't be read.
    ///
    /// # Cancel safety
    ///
    /// If dropped, no fact is lost.
    pub async fn next(&mut self) -> Result<Option<Fact>> {
        let failed = |source| Error::Worker {
            operation: "listen to",
            source,
        };
        // What is no fact belongs to the program around: a test says that it runs.
        while let Some(line) = self.lines.next_line().await.map_err(failed)? {
            if let Ok(fact) = serde_json::from_str(&line) {
                return Ok(Some(fact));
            }
        }
        Ok(None)
    }

    /// Waits until it has ended by itself, and says whether as it should.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if it can't be waited for.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the worker is killed.
    pub async fn end(mut self) -> Result<bool> {
        let status = self.child.wait().await;
        let status = status.map_err(|source| Error::Worker {
            operation: "wait for",
            source,
        })?;
        Ok(status.success())
    }

    /// Kills it with SIGKILL, and returns what it had said before and nobody has heard yet.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if it can't be killed.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the worker is killed.
    pub async fn kill(mut self) -> Result<Vec<Fact>> {
        let killed = self.child.kill().await;
        killed.map_err(|source| Error::Worker {
            operation: "kill",
            source,
        })?;
        let mut facts = Vec::new();
        while let Some(fact) = self.next().await? {
            facts.push(fact);
        }
        Ok(facts)
    }

    /// Stops it where it is, or lets it go on.
    ///
    /// # Errors
    ///
    /// [`Error::Worker`] if it can't be signalled.
    pub fn pause(&self, paused: bool) -> Result<()> {
        let signal = if paused { "-STOP" } else { "-CONT" };
        let pid = self.child.id().unwrap_or_default().to_string();
        let status = Command::new("kill").args([signal, &pid]).status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(io::ErrorKind::NotFound.into()),
            Err(error) => Err(error),
        }
        .map_err(|source| Error::Worker {
            operation: "pause",
            source,
        })
    }
}
