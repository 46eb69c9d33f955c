//! The agent in a process of its own, which can be killed.

use std::collections::BTreeSet;
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result, ensure};
use checkpointer::TaskId;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{self, ChildStdout};

use crate::agent;
use crate::event::Event;

/// A process that runs a part of an audit.
pub(crate) struct Child {
    process: process::Child,
    lines: Lines<BufReader<ChildStdout>>,
    id: u32,
    seen: Seen,
}

/// What was seen of a run.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The tasks it started.
    pub(crate) started: BTreeSet<TaskId>,
    /// The tasks whose output it said is stored.
    pub(crate) recorded: BTreeSet<TaskId>,
    /// The question it stopped at.
    pub(crate) question: Option<String>,
}

impl Seen {
    /// Takes in what happened.
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Started(task_id) => {
                self.started.insert(task_id.clone());
            }
            Event::Recorded(task_id) => {
                self.recorded.insert(task_id.clone());
            }
            Event::Interrupted(question) => {
                self.question = Some(question.as_str().unwrap_or_default().to_owned());
            }
            Event::Step { .. } | Event::Checkpoint { .. } | Event::Finished => {}
        }
    }

    /// The audits it started.
    pub(crate) fn audits_started(&self) -> BTreeSet<&TaskId> {
        self.started
            .iter()
            .filter(|task| agent::is_audit(task))
            .collect()
    }

    /// The audits it said are stored.
    pub(crate) fn audits_recorded(&self) -> BTreeSet<&TaskId> {
        self.recorded
            .iter()
            .filter(|task| agent::is_audit(task))
            .collect()
    }
}

impl Child {
    /// Starts this program again as `run` with `args`.
    pub(crate) fn start(args: &[&str]) -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut process = process::Command::new(program)
            .arg("run")
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start the agent")?;
        let stdout = process.stdout.take().context("read the agent's output")?;
        Ok(Self {
            id: process.id().context("the agent ended at once")?,
            process,
            lines: BufReader::new(stdout).lines(),
            seen: Seen::default(),
        })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// What was seen of it so far.
    pub(crate) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Waits for the next thing that happens in it; none when it has ended.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>> {
        let Some(line) = self.lines.next_line().await? else {
            return Ok(None);
        };
        let event = line.parse()?;
        self.seen.note(&event);
        Ok(Some(event))
    }

    /// Kills it with SIGKILL: it can't say or store another word.
    pub(crate) async fn kill(mut self) -> Result<(ExitStatus, Seen)> {
        self.process.start_kill().context("kill the agent")?;
        let status = self.process.wait().await?;
        // What it had said before and this process hasn't read yet; the last line may be cut off.
        while let Ok(Some(_)) = self.next().await {}
        Ok((status, self.seen))
    }

    /// Waits until it ends by itself, as it should.
    pub(crate) async fn end(mut self) -> Result<Seen> {
        let status = self.process.wait().await?;
        ensure!(status.success(), "the agent failed ({status})");
        Ok(self.seen)
    }
}
