//! What the tasks of a checkpoint have left.

use std::collections::HashMap;

use checkpointer::channels::{ERROR, INTERRUPT, RESUME, SCHEDULED};
use checkpointer::serde_json::Value;
use checkpointer::{CheckpointTuple, PendingWrite, TaskId};

/// What LangGraph writes beside an error that a node of the graph handles: no output of the task.
const ERROR_SOURCE: &str = "__error_source_node__";

/// The pending writes of a checkpoint, by task.
///
/// # Examples
///
/// ```
/// use checkpointer::channels::INTERRUPT;
/// use checkpointer::serde_json::json;
/// use checkpointer::{
///     Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple, Metadata, PendingWrite, TaskId,
/// };
/// use inspector::Pending;
///
/// let id = CheckpointId::generate(None);
/// let address = CheckpointAddress::new("support-4711", &id)?;
/// let mut at = CheckpointTuple::new(address, Checkpoint::new(id), Metadata::default());
/// let question = json!("Refund the order?");
/// at.pending_writes = vec![PendingWrite::new(TaskId::new("ask")?, INTERRUPT, question)];
///
/// let pending = Pending::of(&at);
/// assert_eq!(pending.waiting().count(), 1);
/// # Ok::<(), checkpointer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Pending<'a> {
    /// The tasks, in the order of their writes.
    pub tasks: Vec<TaskWrites<'a>>,
}

/// What one task has left.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TaskWrites<'a> {
    /// The task.
    pub task_id: &'a TaskId,
    /// What the writes say of it.
    pub state: TaskState,
    /// The question at which it stopped.
    pub question: Option<&'a Value>,
    /// The answers to its questions.
    pub answers: Option<&'a Value>,
    /// The error it ended with.
    pub error: Option<&'a Value>,
    /// What it has scheduled.
    pub scheduled: Option<&'a Value>,
    /// Its outputs.
    pub outputs: Vec<&'a PendingWrite>,
}

/// What its writes say of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It has asked a question and has no output yet.
    ///
    /// One that has its answer and hasn't run again counts, too: a second question takes the place of
    /// the first, and the first one's answer stays, so that the writes of both look alike.
    Waits,
    /// It has an answer, but no question: the answer was given before the task asked.
    Answered,
    /// It ended with an error, and has neither an output nor a question without an answer.
    Failed,
    /// It has outputs, and won't run again. An error that it has as well is of an earlier attempt, or came
    /// after the outputs: LangGraph doesn't run such a task again.
    Done,
    /// It has scheduled something, and has no output yet.
    Scheduled,
}

impl TaskState {
    /// Returns its name, such as `waits`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Done => "done",
            Self::Scheduled => "scheduled",
        }
    }
}

impl<'a> Pending<'a> {
    /// Sorts the writes of a checkpoint that was read with
    /// [`Projection::All`](checkpointer::Projection::All).
    #[must_use]
    pub fn of(tuple: &'a CheckpointTuple) -> Self {
        let mut tasks: Vec<TaskWrites<'a>> = Vec::new();
        let mut places = HashMap::new();
        for write in &tuple.pending_writes {
            let place = *places.entry(&write.task_id).or_insert_with(|| {
                tasks.push(TaskWrites::new(&write.task_id));
                tasks.len() - 1
            });
            tasks[place].add(write);
        }
        for task in &mut tasks {
            task.state = task.judge();
        }
        Self { tasks }
    }

    /// The tasks that wait for an answer.
    pub fn waiting(&self) -> impl Iterator<Item = &TaskWrites<'a>> {
        (self.tasks.iter()).filter(|task| task.state == TaskState::Waits)
    }
}

impl<'a> TaskWrites<'a> {
    fn new(task_id: &'a TaskId) -> Self {
        Self {
            task_id,
            state: TaskState::Done,
            question: None,
            answers: None,
            error: None,
            scheduled: None,
            outputs: Vec::new(),
        }
    }

    fn add(&mut self, write: &'a PendingWrite) {
        let value = Some(&*write.value);
        match write.channel.as_str() {
            INTERRUPT => self.question = value,
            RESUME => self.answers = value,
            ERROR => self.error = value,
            SCHEDULED => self.scheduled = value,
            _ => self.outputs.push(write),
        }
    }

    /// The writes of earlier attempts stay beside those of the last one, as LangGraph keeps them.
    fn judge(&self) -> TaskState {
        let mut outputs = self.outputs.iter();
        if outputs.any(|output| output.channel != ERROR_SOURCE) {
            TaskState::Done
        } else if self.question.is_some() && (self.answers.is_none() || self.error.is_none()) {
            TaskState::Waits
        } else if self.error.is_some() {
            TaskState::Failed
        } else if self.answers.is_some() {
            TaskState::Answered
        } else {
            TaskState::Scheduled
        }
    }
}

#[cfg(test)]
mod tests;
