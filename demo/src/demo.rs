//! `demo`: kills the agent, continues it, and checks in the database what became of its work.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use checkpointer::{CheckpointTuple, Checkpointer, GetTuple, PendingWrite, TaskId, ThreadId};
use options::demo::Args;
use tokio::task::spawn_blocking;

use crate::agent::{self, Finding, PARALLEL};
use crate::checks::Checks;
use crate::child::{Child, Seen};
use crate::progress::Progress;
use crate::step::is_output;
use crate::summary::Summary;
use crate::table::{count, number, shown};
use crate::tree::{self, Tree};
use crate::{fork, history};

/// A demonstration under way.
pub(crate) struct Demo {
    pub(crate) checkpointer: Arc<dyn Checkpointer>,
    pub(crate) thread_id: ThreadId,
    pub(crate) checks: Checks,
    ask: bool,
}

/// What was seen of the process that was killed, and what the database held right after.
struct Killed {
    process: u32,
    seen: Seen,
    plan: CheckpointTuple,
}

/// Runs the demonstration; succeeds only if everything held.
pub(crate) async fn run(checkpointer: Arc<dyn Checkpointer>, args: Args) -> Result<ExitCode> {
    let root = tree::folder(&args.dir.unwrap_or_else(|| PathBuf::from(".")))?;
    let files = {
        let root = root.clone();
        spawn_blocking(move || tree::count(&root)).await??
    };
    let mut demo = Demo {
        checkpointer,
        thread_id: ThreadId::new(format!("audit-{}", uuid::Uuid::new_v4().simple()))?,
        checks: Checks::default(),
        ask: args.ask,
    };
    writeln!(stdout(), "An agent audits {}", shown(&root))?;
    writeln!(stdout(), "   its memory is thread {}", demo.thread_id)?;
    let killed = demo.kill(&root, args.tasks, files).await?;
    demo.resume(&killed).await?;
    demo.approve().await?;
    demo.check_outputs(&killed).await?;
    fork::run(&mut demo).await?;
    writeln!(stdout(), "\nWhat had to hold\n{}", demo.checks)?;
    writeln!(stdout(), "{}", to_see_again(&demo.thread_id))?;
    Ok(if demo.checks.all_held() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says by which commands a thread is looked at later.
pub(crate) fn to_see_again(thread_id: &ThreadId) -> String {
    format!(
        "The thread stays in the database. To see it again:\n  \
         DATABASE_URL=\"$(cargo xtask db-url)\" cargo run -p demo -- show --thread {thread_id}\n\
         To walk through it in a browser:\n  \
         cargo xtask inspect {thread_id}"
    )
}

impl Demo {
    /// Starts the agent and kills it when some tasks are recorded and others are in flight.
    async fn kill(&mut self, root: &str, tasks: usize, files: usize) -> Result<Killed> {
        writeln!(stdout(), "\n1. The first process")?;
        let tasks = tasks.min(files);
        let recorded = tasks * 2 / 5;
        let started = tasks.min(recorded + PARALLEL);
        let mut child = Child::start(&[
            "--thread",
            self.thread_id.as_str(),
            "--dir",
            root,
            "--tasks",
            &tasks.to_string(),
            "--hold-after",
            &recorded.to_string(),
        ])?;
        let process = child.id();
        let mut progress = Progress::new();
        loop {
            let Some(event) = child.next().await? else {
                child.end().await?;
                bail!("the agent ended before it could be killed");
            };
            progress.note(&event);
            if child.seen().audits_recorded().len() == recorded
                && child.seen().audits_started().len() == started
            {
                break;
            }
        }
        let (status, seen) = child.kill().await?;
        drop(progress);
        writeln!(
            stdout(),
            "   {recorded} of {tasks} tasks recorded, {} in flight: killed process {process} ({status})",
            started - recorded,
        )?;
        if recorded == 0 {
            writeln!(
                stdout(),
                "   (with so few files it was killed before the first output was recorded)"
            )?;
        }
        self.checks.add(
            "the agent was killed in its parallel step",
            status.code().is_none() && started > recorded,
            format!("{status}"),
        );
        let plan = self.head().await?;
        let stored = outputs(&plan);
        let said: BTreeSet<_> = seen.audits_recorded();
        self.checks.add(
            "every output it said was stored is stored",
            said.iter().all(|task| stored.contains_key(*task)),
            format!("{} said, {} stored", said.len(), stored.len()),
        );
        Ok(Killed {
            process,
            seen,
            plan,
        })
    }

    /// Starts the agent again: it goes on to its question.
    async fn resume(&mut self, killed: &Killed) -> Result<()> {
        writeln!(stdout(), "\n2. A second process, on the same thread")?;
        let child = Child::start(&["--thread", self.thread_id.as_str()])?;
        let process = child.id();
        let seen = watch(child).await?;
        let stored = outputs(&killed.plan);
        let started = seen.audits_started();
        let in_flight = (started.iter()).filter(|task| killed.seen.started.contains(**task));
        let in_flight = in_flight.count();
        writeln!(
            stdout(),
            "   process {process} found {}, and ran {}: {} that had been in flight, {} new",
            count(stored.len(), "output"),
            count(started.len(), "task"),
            in_flight,
            started.len() - in_flight,
        )?;
        let again = (started.iter()).filter(|task| stored.contains_key(**task));
        let again = again.count();
        self.checks.add(
            "no task whose output was recorded ran again",
            again == 0,
            format!("{} recorded, {again} ran again", stored.len()),
        );
        let lost_in_flight = killed.seen.started.len() - killed.seen.recorded.len();
        self.checks.add(
            "only those in flight were repeated",
            in_flight <= lost_in_flight,
            format!("{lost_in_flight} in flight, {in_flight} repeated"),
        );
        let question = seen
            .question
            .context("the agent ended without its question")?;
        writeln!(stdout(), "   it stopped and asks: {question}")?;
        Ok(())
    }

    /// Answers the question, and lets a third process go on from there.
    async fn approve(&mut self) -> Result<()> {
        writeln!(stdout(), "\n3. Approval, and a third process")?;
        let answer = if self.answer().await? { "yes" } else { "no" };
        let child = Child::start(&["--thread", self.thread_id.as_str(), "--answer", answer])?;
        let seen = watch(child).await?;
        let tasks: Vec<_> = seen.started.iter().map(TaskId::as_str).collect();
        writeln!(
            stdout(),
            "   it went on from the question and ran {}",
            tasks.join(", ")
        )?;
        self.checks.add(
            "the answer continued the run, and nothing before it",
            seen.question.is_none() && seen.audits_started().is_empty(),
            format!("{} after the answer", count(tasks.len(), "task")),
        );
        Ok(())
    }

    /// Asks the person; without `--ask` the demonstration answers.
    pub(crate) async fn answer(&self) -> Result<bool> {
        if !self.ask {
            writeln!(
                stdout(),
                "   the demo answers yes itself (with --ask, you do)"
            )?;
            return Ok(true);
        }
        write!(stdout(), "   your answer [y/N]: ")?;
        stdout().flush()?;
        let mut line = String::new();
        let line = spawn_blocking(move || io::stdin().read_line(&mut line).map(|_| line)).await??;
        Ok(line.trim().to_lowercase().starts_with('y'))
    }

    /// Checks what is recorded of the parallel step, now that it is over.
    async fn check_outputs(&mut self, killed: &Killed) -> Result<()> {
        let plan = self.at(&killed.plan).await?;
        let (before, after) = (outputs(&killed.plan), outputs(&plan));
        let kept = before
            .iter()
            .all(|(task, writes)| after.get(task) == Some(writes));
        self.checks.add(
            "what was recorded before the kill is unchanged",
            kept,
            count(before.len(), "output"),
        );
        let tree: Tree = agent::read(&plan.checkpoint.channel_values, agent::PLAN)?;
        let history = history::list(&self.checkpointer, &self.thread_id).await?;
        let audited =
            fork::made_by(agent::AUDIT, &history).context("no checkpoint of the audits")?;
        let audited = self.at(audited).await?;
        let findings: Vec<Finding> =
            agent::read(&audited.checkpoint.channel_values, agent::FINDINGS)?;
        let first = findings
            .iter()
            .filter(|finding| finding.process == killed.process);
        let (first, all) = (first.count(), findings.len());
        let mut files: Vec<_> = (findings.iter().flat_map(|finding| &finding.sources))
            .map(|source| &source.path)
            .collect();
        files.sort();
        let mut planned: Vec<_> = tree.files.iter().collect();
        planned.sort();
        self.checks.add(
            "none was lost, and none counted twice",
            files == planned && all == after.len() && first == before.len(),
            format!(
                "{} of {}, in {first} + {} outputs",
                number(files.len() as i128),
                count(planned.len(), "file"),
                all - first,
            ),
        );
        Ok(())
    }

    /// Reads the thread's head.
    pub(crate) async fn head(&self) -> Result<CheckpointTuple> {
        let head = self
            .checkpointer
            .get_tuple(GetTuple::head(&self.thread_id)?);
        head.await?.context("the thread is empty")
    }

    /// Reads a checkpoint again, with everything.
    pub(crate) async fn at(&self, tuple: &CheckpointTuple) -> Result<CheckpointTuple> {
        let at = self.checkpointer.get_tuple(GetTuple::at(&tuple.address));
        (at.await?).with_context(|| format!("checkpoint `{}` is gone", tuple.address.checkpoint_id))
    }
}

/// Reads the summary a checkpoint holds.
pub(crate) fn summary(tuple: &CheckpointTuple) -> Result<Summary> {
    agent::read(&tuple.checkpoint.channel_values, agent::SUMMARY)
}

/// Watches a process until it ends by itself.
async fn watch(mut child: Child) -> Result<Seen> {
    let mut progress = Progress::new();
    while let Some(event) = child.next().await? {
        progress.note(&event);
    }
    child.end().await
}

/// The recorded outputs of the tasks that ran on a checkpoint.
fn outputs(tuple: &CheckpointTuple) -> BTreeMap<TaskId, Vec<PendingWrite>> {
    let mut outputs: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for write in tuple.pending_writes.iter().filter(|write| is_output(write)) {
        let task = outputs.entry(write.task_id.clone()).or_default();
        task.push(write.clone());
    }
    outputs
}
