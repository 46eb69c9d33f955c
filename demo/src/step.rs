//! One step: the tasks of a node, side by side, each output stored as soon as it is there.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result};
use checkpointer::channels::{ERROR, INTERRUPT, RESUME};
use checkpointer::{
    CheckpointAddress, CheckpointTuple, Checkpointer, PendingWrite, PutWrites, TaskId,
};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::event::{Event, Report};
use crate::graph::{Node, Output, Shared, Task, shared};

/// The output of a task that wrote nothing.
pub(crate) const NO_WRITES: &str = "__no_writes__";

/// A node that runs on a checkpoint.
pub(crate) struct Step<'a> {
    pub(crate) checkpointer: &'a Arc<dyn Checkpointer>,
    pub(crate) node: &'a Arc<dyn Node>,
    pub(crate) at: &'a CheckpointTuple,
    pub(crate) parallel: usize,
    pub(crate) report: &'a Report,
}

/// What became of a step.
pub(crate) enum Ran {
    /// Every task is done; this is what each wrote.
    Done(BTreeMap<TaskId, Shared>),
    /// A task waits for an answer.
    Interrupted(Value),
}

/// How far a task had come when it was last heard of.
enum Progress {
    Open { resume: Option<Value> },
    Asked(Value),
    Done(Shared),
}

impl Step<'_> {
    /// Runs the tasks that have no output yet. An `answer` goes to those that asked.
    pub(crate) async fn run(&self, answer: Option<Value>) -> Result<Ran> {
        let state = Arc::new(self.at.checkpoint.channel_values.clone());
        let inputs = self.node.split(&state)?;
        let mut recorded = by_task(&self.at.pending_writes);
        let total = inputs.len();
        let mut open = Vec::new();
        let mut questions = Vec::new();
        let mut outputs = BTreeMap::new();
        for (index, input) in inputs.into_iter().enumerate() {
            // The same task has the same id in every process: its recorded output is found by it.
            let task_id = TaskId::new(format!("{}-{index:05}", self.node.name()))?;
            let mut progress = progress(recorded.remove(&task_id).unwrap_or_default());
            if let (Progress::Asked(_), Some(answer)) = (&progress, &answer) {
                let writes = [(RESUME.to_owned(), answer.clone())];
                self.recorder(&task_id).put(&writes).await?;
                progress = Progress::Open {
                    resume: Some(answer.clone()),
                };
            }
            match progress {
                Progress::Done(writes) => {
                    outputs.insert(task_id, writes);
                }
                Progress::Asked(question) => questions.push(question),
                Progress::Open { resume } => {
                    let state = Arc::clone(&state);
                    let task = Task {
                        input,
                        state,
                        resume,
                    };
                    open.push((task_id, task));
                }
            }
        }
        (self.report)(Event::Step {
            node: self.node.name().to_owned(),
            tasks: total,
            recorded: outputs.len(),
        });
        for (task_id, output) in self.run_open(open).await? {
            match output {
                Output::Writes(writes) => {
                    outputs.insert(task_id, shared(writes));
                }
                Output::Interrupt(question) => questions.push(question),
            }
        }
        Ok(match questions.into_iter().next() {
            Some(question) => Ran::Interrupted(question),
            None => Ran::Done(outputs),
        })
    }

    /// Runs tasks, some at the same time. If some fail, the others are still run and recorded.
    async fn run_open(&self, open: Vec<(TaskId, Task)>) -> Result<Vec<(TaskId, Output)>> {
        let mut open = open.into_iter();
        let mut running = JoinSet::new();
        let mut outputs = Vec::new();
        let mut failures = Vec::new();
        loop {
            for (task_id, task) in open.by_ref().take(self.parallel - running.len()) {
                let node = Arc::clone(self.node);
                let recorder = self.recorder(&task_id);
                let report = Arc::clone(self.report);
                running.spawn(async move {
                    report(Event::Started(task_id.clone()));
                    let output = recorder.run(node.as_ref(), task).await;
                    if matches!(output, Ok(Output::Writes(_))) {
                        report(Event::Recorded(task_id.clone()));
                    }
                    (task_id, output)
                });
            }
            let Some(joined) = running.join_next().await else {
                break;
            };
            let (task_id, output) = joined.context("a task panicked")?;
            match output {
                Ok(output) => outputs.push((task_id, output)),
                Err(error) => failures.push(error.context(format!("task `{task_id}` failed"))),
            }
        }
        match failures.into_iter().next() {
            Some(failure) => Err(failure),
            None => Ok(outputs),
        }
    }

    fn recorder(&self, task_id: &TaskId) -> Recorder {
        Recorder {
            checkpointer: Arc::clone(self.checkpointer),
            address: self.at.address.clone(),
            task_id: task_id.clone(),
            task_path: self.node.name(),
        }
    }
}

/// Stores what one task writes.
struct Recorder {
    checkpointer: Arc<dyn Checkpointer>,
    address: CheckpointAddress,
    task_id: TaskId,
    task_path: &'static str,
}

impl Recorder {
    /// Runs the task and stores its output, its question or its error.
    async fn run(&self, node: &dyn Node, task: Task) -> Result<Output> {
        let output = node.run(task).await;
        match &output {
            Ok(Output::Writes(writes)) if writes.is_empty() => {
                self.put(&[(NO_WRITES.to_owned(), Value::Null)]).await?;
            }
            Ok(Output::Writes(writes)) => self.put(writes).await?,
            Ok(Output::Interrupt(question)) => {
                self.put(&[(INTERRUPT.to_owned(), question.clone())])
                    .await?;
            }
            Err(error) => {
                self.put(&[(ERROR.to_owned(), format!("{error:#}").into())])
                    .await?;
            }
        }
        output
    }

    async fn put(&self, writes: &[(String, Value)]) -> Result<()> {
        let writes = PutWrites::new(&self.address, &self.task_id, writes).task_path(self.task_path);
        self.checkpointer.put_writes(writes).await?;
        Ok(())
    }
}

/// Whether a pending write is part of a task's output.
pub(crate) fn is_output(write: &PendingWrite) -> bool {
    ![INTERRUPT, RESUME, ERROR].contains(&write.channel.as_str())
}

fn by_task(writes: &[PendingWrite]) -> BTreeMap<&TaskId, Vec<&PendingWrite>> {
    let mut by_task: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for write in writes {
        by_task.entry(&write.task_id).or_default().push(write);
    }
    by_task
}

fn progress(writes: Vec<&PendingWrite>) -> Progress {
    let value_of = |channel| {
        let mut on_channel = writes.iter().filter(|write| write.channel == channel);
        on_channel.next().map(|write| Value::clone(&write.value))
    };
    let output: Shared = (writes.iter())
        .filter(|write| is_output(write))
        .map(|write| (write.channel.clone(), Arc::clone(&write.value)))
        .collect();
    match (value_of(INTERRUPT), value_of(RESUME)) {
        _ if !output.is_empty() => Progress::Done(output),
        (Some(question), None) => Progress::Asked(question),
        (_, resume) => Progress::Open { resume },
    }
}
