//! A small graph runner over any checkpointer: the part to copy.
//!
//! A graph is a list of nodes. Each step runs one node as one task or as several in parallel; every
//! task's output is stored as a pending write as soon as the task is done, and when all are there,
//! the next checkpoint takes them in. Any process that continues a thread reads the head and its
//! pending writes, and runs only the tasks that have no output yet.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use checkpointer::{
    ChannelValues, ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple,
    Checkpointer, GetTuple, Metadata, Put, Source, TaskId, ThreadId,
};
use serde_json::Value;

use crate::event::{Event, Report};
use crate::step::{NO_WRITES, Ran, Step};

/// The channel that names the node to run next; the graph has ended where it is empty.
pub(crate) const NEXT: &str = "next";

/// The state of a graph, channel by channel.
pub(crate) type State = ChannelValues;

/// What a task writes, channel by channel; `null` empties a channel.
pub(crate) type Writes = Vec<(String, Value)>;

/// The same, where others hold the values as well: tasks' outputs, as pending writes have them.
pub(crate) type Shared = Vec<(String, Arc<Value>)>;

/// One step of a graph.
#[async_trait]
pub(crate) trait Node: Send + Sync + 'static {
    /// Its name, under which other nodes find it.
    fn name(&self) -> &'static str;

    /// Cuts the step into the inputs of parallel tasks, the same ones for the same state. Defaults
    /// to a single task.
    fn split(&self, _state: &State) -> Result<Vec<Value>> {
        Ok(vec![Value::Null])
    }

    /// Runs one task. It may be run again if the process dies before its output is stored.
    async fn run(&self, task: Task) -> Result<Output>;
}

/// One unit of a step's work.
#[derive(Debug)]
pub(crate) struct Task {
    /// Its part of the node's input.
    pub(crate) input: Value,
    /// The state before the step.
    pub(crate) state: Arc<State>,
    /// The answer to its question, once there is one.
    pub(crate) resume: Option<Value>,
}

/// How a task ends.
#[derive(Debug)]
pub(crate) enum Output {
    /// It is done.
    Writes(Writes),
    /// It needs an answer from outside, and runs again when it is there.
    Interrupt(Value),
}

/// Where a run of the graph stopped.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// A task waits for an answer to this question.
    Interrupted(Value),
    /// No node is left.
    Finished,
}

/// A graph and the memory it runs on.
pub(crate) struct Graph {
    checkpointer: Arc<dyn Checkpointer>,
    nodes: Vec<Arc<dyn Node>>,
    /// The channels that collect what tasks write; the others take one value per step.
    collecting: &'static [&'static str],
    parallel: usize,
    run_id: String,
    report: Report,
}

impl fmt::Debug for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Graph")
            .field("run_id", &self.run_id)
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Makes a graph whose nodes follow one another, and which reports what happens to `report`.
    pub(crate) fn new(
        checkpointer: Arc<dyn Checkpointer>,
        nodes: Vec<Arc<dyn Node>>,
        report: impl Fn(Event) + Send + Sync + 'static,
    ) -> Self {
        Self {
            checkpointer,
            nodes,
            collecting: &[],
            parallel: 1,
            run_id: uuid::Uuid::new_v4().to_string(),
            report: Arc::new(report),
        }
    }

    /// Runs up to so many tasks at the same time. Defaults to 1.
    #[must_use]
    pub(crate) fn parallel(self, parallel: usize) -> Self {
        Self {
            parallel: parallel.max(1),
            ..self
        }
    }

    /// Names the channels that collect what all tasks write. Defaults to none.
    #[must_use]
    pub(crate) fn collecting(self, collecting: &'static [&'static str]) -> Self {
        Self { collecting, ..self }
    }

    /// Puts the first checkpoint of a thread that has none.
    pub(crate) async fn start(&self, thread_id: &ThreadId, input: State) -> Result<()> {
        let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
        let mut writes: Shared = input.into_iter().collect();
        if let Some(first) = self.nodes.first() {
            writes.push((NEXT.to_owned(), Arc::new(first.name().into())));
        }
        let changed = self.write(&mut checkpoint, writes);
        let metadata = Metadata::new(Source::Input, -1).with("run_id", self.run_id.as_str());
        self.checkpointer
            .put(
                Put::new(thread_id, &checkpoint, &metadata)
                    .new_versions(&changed)
                    .expect_no_head(),
            )
            .await?;
        Ok(())
    }

    /// Continues a thread from its head until it ends or has a question. An `answer` goes to the
    /// question it stopped at.
    pub(crate) async fn resume(
        &self,
        thread_id: &ThreadId,
        mut answer: Option<Value>,
    ) -> Result<Outcome> {
        let head = GetTuple::head(thread_id)?;
        let mut at = (self.checkpointer.get_tuple(head).await?)
            .with_context(|| format!("thread `{thread_id}` has no checkpoint to continue from"))?;
        while let Some(node) = self.next(&at)? {
            let step = Step {
                checkpointer: &self.checkpointer,
                node,
                at: &at,
                parallel: self.parallel,
                report: &self.report,
            };
            let outputs = match step.run(answer.take()).await? {
                Ran::Done(outputs) => outputs,
                Ran::Interrupted(question) => {
                    (self.report)(Event::Interrupted(question.clone()));
                    return Ok(Outcome::Interrupted(question));
                }
            };
            at = self.advance(&at, node.as_ref(), outputs).await?;
        }
        (self.report)(Event::Finished);
        Ok(Outcome::Finished)
    }

    /// Starts a new branch: puts a copy of the checkpoint `from`, with other values in some
    /// channels, as its child and as the head in place of `head`.
    pub(crate) async fn fork(
        &self,
        from: &CheckpointTuple,
        head: &CheckpointId,
        changes: Writes,
    ) -> Result<CheckpointAddress> {
        let mut checkpoint = Checkpoint::child_of(from);
        let changed = self.write(&mut checkpoint, shared(changes));
        let metadata = self.metadata(Source::Fork, from)?;
        let put = Put::after(&from.address, &checkpoint, &metadata)
            .new_versions(&changed)
            .expect_head(head);
        Ok(self.checkpointer.put(put).await?)
    }

    /// The node that runs on a checkpoint.
    fn next(&self, at: &CheckpointTuple) -> Result<Option<&Arc<dyn Node>>> {
        let Some(next) = at.checkpoint.channel_values.get(NEXT) else {
            return Ok(None);
        };
        let node = self.nodes.iter().find(|node| *next == *node.name());
        node.map(Some)
            .with_context(|| format!("the graph has no node {next}"))
    }

    /// Puts the checkpoint that follows `at`: with what the tasks wrote, and the node that is next.
    async fn advance(
        &self,
        at: &CheckpointTuple,
        node: &dyn Node,
        outputs: BTreeMap<TaskId, Shared>,
    ) -> Result<CheckpointTuple> {
        let mut checkpoint = Checkpoint::child_of(at);
        let seen = at.checkpoint.channel_versions.clone();
        (checkpoint.versions_seen).insert(node.name().to_owned(), seen);
        let writes = self.merge(node, &at.checkpoint.channel_values, outputs)?;
        let changed = self.write(&mut checkpoint, writes);
        let metadata = self.metadata(Source::Loop, at)?.with("node", node.name());
        let put = Put::after(&at.address, &checkpoint, &metadata)
            .new_versions(&changed)
            .expect_head(&at.address.checkpoint_id);
        let address = self.checkpointer.put(put).await?;
        (self.report)(Event::Checkpoint {
            step: metadata.step().unwrap_or_default(),
            node: node.name().to_owned(),
        });
        Ok(CheckpointTuple::new(address, checkpoint, metadata))
    }

    /// Makes one set of writes of what the tasks wrote, in the order of the tasks.
    fn merge(
        &self,
        node: &dyn Node,
        state: &State,
        outputs: BTreeMap<TaskId, Shared>,
    ) -> Result<Shared> {
        let following = (self.nodes.iter())
            .skip_while(|other| other.name() != node.name())
            .nth(1);
        let following: Value = following.map_or(Value::Null, |node| node.name().into());
        let mut collected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut single: BTreeMap<String, Arc<Value>> = BTreeMap::new();
        for (channel, value) in outputs.into_values().flatten() {
            if self.collecting.contains(&channel.as_str()) && !value.is_null() {
                let values = collected.entry(channel).or_default();
                values.push(Arc::unwrap_or_clone(value));
            } else if channel != NO_WRITES && single.insert(channel.clone(), value).is_some() {
                bail!("two tasks of `{}` wrote to `{channel}`", node.name());
            }
        }
        for (channel, values) in collected {
            let mut all = match state.get(&channel) {
                Some(Value::Array(before)) => before.clone(),
                _ => Vec::new(),
            };
            all.extend(values);
            single.insert(channel, Arc::new(all.into()));
        }
        single.entry(NEXT.to_owned()).or_insert(Arc::new(following));
        Ok(single.into_iter().collect())
    }

    /// Writes to the channels of a checkpoint, of which a null empties one, and returns their new
    /// versions.
    fn write(&self, checkpoint: &mut Checkpoint, writes: Shared) -> ChannelVersions {
        let writes = writes.into_iter();
        let writes =
            writes.map(|(channel, value)| (channel, Some(value).filter(|value| !value.is_null())));
        let changed = checkpoint.write(&*self.checkpointer, writes);
        checkpoint.updated_channels = Some(changed.keys().cloned().collect());
        changed
    }

    /// What is said about the checkpoint that follows `parent`.
    fn metadata(&self, source: Source, parent: &CheckpointTuple) -> Result<Metadata> {
        let step = parent.metadata.step();
        let step = step.with_context(|| {
            format!("checkpoint `{}` has no step", parent.address.checkpoint_id)
        })?;
        Ok(Metadata::new(source, step + 1).with("run_id", self.run_id.as_str()))
    }
}

/// Makes writes whose values can be shared.
pub(crate) fn shared(writes: Writes) -> Shared {
    let writes = writes.into_iter();
    writes
        .map(|(channel, value)| (channel, Arc::new(value)))
        .collect()
}
