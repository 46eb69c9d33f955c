//! The agent: plan the files, audit them in parallel, merge, ask for approval, report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use checkpointer::{Checkpointer, TaskId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::event::Event;
use crate::graph::{Graph, NEXT, Node, Output, State, Task};
use crate::report;
use crate::source::{self, Source};
use crate::summary::{Scope, Summary};
use crate::tree::{self, Tree};

/// The node whose tasks run in parallel.
pub(crate) const AUDIT: &str = "audit";

pub(crate) const ROOT: &str = "root";
pub(crate) const TASKS: &str = "tasks";
pub(crate) const PLAN: &str = "plan";
pub(crate) const FINDINGS: &str = "findings";
pub(crate) const SCOPE: &str = "scope";
pub(crate) const SUMMARY: &str = "summary";
pub(crate) const APPROVAL: &str = "approval";
pub(crate) const REPORT: &str = "report";

/// How many files' batches are audited at the same time.
pub(crate) const PARALLEL: usize = 4;

/// A held task waits no longer than this for its process to be killed.
const HOLD: Duration = Duration::from_secs(60);

/// Makes the agent's graph.
pub(crate) fn graph(
    checkpointer: Arc<dyn Checkpointer>,
    gate: Gate,
    report: impl Fn(Event) + Send + Sync + 'static,
) -> Graph {
    let nodes: Vec<Arc<dyn Node>> = vec![
        Arc::new(Plan),
        Arc::new(Audit { gate }),
        Arc::new(Merge),
        Arc::new(Approve),
        Arc::new(Report),
    ];
    Graph::new(checkpointer, nodes, report)
        .parallel(PARALLEL)
        .collecting(&[FINDINGS])
}

/// The state an audit begins with: the folder, and into how many tasks its files are cut at most.
pub(crate) fn input(root: &str, tasks: usize) -> State {
    State::from([(ROOT, Value::from(root)), (TASKS, Value::from(tasks))])
}

/// Whether a task is one of the parallel audits.
pub(crate) fn is_audit(task_id: &TaskId) -> bool {
    task_id
        .as_str()
        .rsplit_once('-')
        .is_some_and(|(node, _)| node == AUDIT)
}

/// Reads a channel of the state.
pub(crate) fn read<T: DeserializeOwned>(state: &State, channel: &str) -> Result<T> {
    let value = (state.get(channel)).with_context(|| format!("channel `{channel}` is empty"))?;
    T::deserialize(value).with_context(|| format!("channel `{channel}` holds something else"))
}

/// Lets some audit tasks end and holds the others in flight, so that a process can be killed in the
/// middle of its parallel work however fast it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gate(Option<Arc<Semaphore>>);

impl Gate {
    /// A gate that lets everybody pass.
    pub(crate) fn open() -> Self {
        Self(None)
    }

    /// A gate that shuts after `tasks` tasks.
    pub(crate) fn shut_after(tasks: usize) -> Self {
        Self(Some(Arc::new(Semaphore::new(tasks))))
    }

    async fn pass(&self) -> Result<()> {
        let Some(gate) = &self.0 else { return Ok(()) };
        match tokio::time::timeout(HOLD, gate.acquire()).await {
            Ok(permit) => permit?.forget(),
            Err(_) => bail!("held for {HOLD:?}, and nobody killed the process"),
        }
        Ok(())
    }
}

/// What one audit task found.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// The process that did the work.
    pub(crate) process: u32,
    pub(crate) sources: Vec<Source>,
}

struct Plan;

#[async_trait]
impl Node for Plan {
    fn name(&self) -> &'static str {
        "plan"
    }

    async fn run(&self, task: Task) -> Result<Output> {
        let root: PathBuf = read(&task.state, ROOT)?;
        let tree = spawn_blocking(move || tree::walk(&root)).await?;
        write(PLAN, &tree)
    }
}

struct Audit {
    gate: Gate,
}

#[async_trait]
impl Node for Audit {
    fn name(&self) -> &'static str {
        AUDIT
    }

    fn split(&self, state: &State) -> Result<Vec<Value>> {
        let Tree { files, .. } = read(state, PLAN)?;
        let tasks = read::<usize>(state, TASKS)?.clamp(1, files.len().max(1));
        let bounds = |task| task * files.len() / tasks;
        let batches = (0..tasks).map(|task| json!(files[bounds(task)..bounds(task + 1)]));
        Ok(batches.collect())
    }

    async fn run(&self, task: Task) -> Result<Output> {
        let root: PathBuf = read(&task.state, ROOT)?;
        let files = Vec::<String>::deserialize(task.input)?;
        let audit = move || {
            let files = files.iter();
            files.map(|path| source::audit(&root, path)).collect()
        };
        let finding = Finding {
            process: std::process::id(),
            sources: spawn_blocking(audit).await?,
        };
        self.gate.pass().await?;
        write(FINDINGS, &finding)
    }
}

struct Merge;

#[async_trait]
impl Node for Merge {
    fn name(&self) -> &'static str {
        "merge"
    }

    async fn run(&self, task: Task) -> Result<Output> {
        let state = &task.state;
        let findings: Vec<Finding> = read(state, FINDINGS)?;
        let sources = findings.into_iter().flat_map(|finding| finding.sources);
        let scope = match state.get(SCOPE) {
            Some(_) => read(state, SCOPE)?,
            None => Scope::default(),
        };
        let summary = Summary::new(
            read(state, ROOT)?,
            &read(state, PLAN)?,
            sources.collect(),
            scope,
        );
        // What was summed up needn't be carried along; the checkpoint before this one keeps it.
        Ok(Output::Writes(vec![
            (SUMMARY.to_owned(), serde_json::to_value(summary)?),
            (FINDINGS.to_owned(), Value::Null),
        ]))
    }
}

struct Approve;

#[async_trait]
impl Node for Approve {
    fn name(&self) -> &'static str {
        "approve"
    }

    async fn run(&self, task: Task) -> Result<Output> {
        let Some(answer) = task.resume else {
            let summary: Summary = read(&task.state, SUMMARY)?;
            return Ok(Output::Interrupt(report::question(&summary).into()));
        };
        let mut writes = vec![(APPROVAL.to_owned(), answer.clone())];
        if answer != json!(true) {
            writes.push((NEXT.to_owned(), Value::Null));
        }
        Ok(Output::Writes(writes))
    }
}

struct Report;

#[async_trait]
impl Node for Report {
    fn name(&self) -> &'static str {
        "report"
    }

    async fn run(&self, task: Task) -> Result<Output> {
        let summary: Summary = read(&task.state, SUMMARY)?;
        write(REPORT, &report::text(&summary))
    }
}

fn write(channel: &str, value: &impl Serialize) -> Result<Output> {
    let value = serde_json::to_value(value)?;
    Ok(Output::Writes(vec![(channel.to_owned(), value)]))
}
