//! What the tasks of a checkpoint have left: their questions and failures, and their pending writes.

use std::collections::HashMap;

use checkpointer::channels::{ERROR, INTERRUPT, RESUME, SCHEDULED};
use checkpointer::serde_json::Value;
use checkpointer::{CheckpointTuple, PendingWrite, TaskId};

use super::asked;
use super::links::Place;
use super::shown;
use super::tree::{self, Tree};
use crate::{Pending, TaskWrites};

/// All pending writes, as they are asked for.
pub(super) const WRITES: &str = "/writes";

/// How many questions, and how many failures, are shown at the top.
const AT_TOP: usize = 20;

/// How much of a question or an error is shown there, in characters.
const LONG: usize = 2_000;

/// What the tasks have left.
#[derive(Default)]
pub(super) struct Tasks {
    pub(super) questions: Vec<Question>,
    pub(super) failures: Vec<Failure>,
    /// How many questions and failures are left out.
    pub(super) left_out: usize,
    pub(super) tasks: Vec<Task>,
    /// The link to all pending writes if they aren't all shown, and how many they are.
    pub(super) all: Option<(String, usize)>,
}

/// What a task asks.
pub(super) struct Question {
    pub(super) task: String,
    pub(super) shown_task: String,
    pub(super) said: Said,
    pub(super) answered: bool,
    /// What a form carries that answers it.
    pub(super) seen: String,
}

/// What a task has failed with.
pub(super) struct Failure {
    pub(super) task: String,
    pub(super) said: Said,
}

/// A question or an error: a text of which much is shown, or another value.
pub(super) struct Said {
    pub(super) text: Option<String>,
    /// The link to the whole of a text that is cut.
    pub(super) whole: Option<String>,
    pub(super) value: Tree,
}

/// What a task has left.
pub(super) struct Task {
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) writes: Tree,
}

/// The pending writes of a checkpoint, with their places among all. By its value no write can be found: several
/// may share theirs.
struct Writes<'a> {
    all: &'a [PendingWrite],
    /// The last one of each task to each channel.
    last: HashMap<(&'a TaskId, &'a str), usize>,
    outputs: HashMap<*const PendingWrite, usize>,
    place: &'a Place,
}

/// A write's place among all, the name that it is shown with, and its value.
type Named<'a> = (String, &'a str, &'a Value);

impl Tasks {
    pub(super) fn of(tuple: &CheckpointTuple, place: &Place) -> Self {
        let pending = Pending::of(tuple);
        let writes = Writes::of(tuple, place);
        let mut of_tasks = Self::default();
        for task in &pending.tasks {
            if let Some(seen) = asked::seen(task) {
                match of_tasks.questions.len() < AT_TOP {
                    true => (of_tasks.questions).extend(Question::of(task, seen, &writes)),
                    false => of_tasks.left_out += 1,
                }
            }
            if task.error.is_some() {
                match of_tasks.failures.len() < AT_TOP {
                    true => (of_tasks.failures).extend(Failure::of(task, &writes)),
                    false => of_tasks.left_out += 1,
                }
            }
        }
        let mut room = tree::PAGE;
        for task in &pending.tasks {
            if room == 0 {
                break;
            }
            let task = Task::of(task, &writes, room);
            room -= task.writes.branches.len();
            of_tasks.tasks.push(task);
        }
        let total = tuple.pending_writes.len();
        of_tasks.all = (tree::PAGE - room < total)
            .then(|| (place.link_with("value", &[("path", WRITES)]), total));
        of_tasks
    }
}

/// All pending writes in their order, from the one at `from` on.
pub(super) fn page(tuple: &CheckpointTuple, from: usize, place: &Place) -> Tree {
    let all = &tuple.pending_writes;
    let shown = all.iter().enumerate().skip(from).take(tree::PAGE);
    let shown: Vec<_> = shown
        .map(|(at, write)| {
            let name = format!("{} of {}", write.channel, write.task_id);
            (at.to_string(), name, &*write.value)
        })
        .collect();
    let shown = shown.iter().map(|(at, name, value)| (at, &**name, *value));
    Tree {
        more: tree::more(all.len(), from, place, WRITES),
        ..Tree::of_all(shown, place, WRITES)
    }
}

impl<'a> Writes<'a> {
    fn of(tuple: &'a CheckpointTuple, place: &'a Place) -> Self {
        let all = tuple.pending_writes.as_slice();
        let places = || all.iter().enumerate();
        Self {
            all,
            last: places()
                .map(|(at, write)| ((&write.task_id, &*write.channel), at))
                .collect(),
            outputs: places()
                .map(|(at, write)| (std::ptr::from_ref(write), at))
                .collect(),
            place,
        }
    }

    /// What a task has left in one of the special channels.
    fn note(&self, task: &TaskId, channel: &str, name: &'a str) -> Option<Named<'a>> {
        let at = *self.last.get(&(task, channel))?;
        Some((at.to_string(), name, &self.all[at].value))
    }

    fn output(&self, write: &'a PendingWrite) -> Option<Named<'a>> {
        let at = self.outputs.get(&std::ptr::from_ref(write))?;
        Some((at.to_string(), &write.channel, &write.value))
    }
}

impl Said {
    /// What is in a write at `pointer`, if that is a text, or else all of the write.
    fn of(write: Named<'_>, pointer: &str, place: &Place) -> Self {
        let Some(text) = write.2.pointer(pointer).and_then(Value::as_str) else {
            return Self {
                text: None,
                whole: None,
                value: Tree::of_all([write], place, WRITES),
            };
        };
        let path = format!("{WRITES}/{}{pointer}", write.0);
        let is_long = text.char_indices().nth(LONG).is_some();
        Self {
            text: Some(shown::lines_of(text, LONG)),
            whole: is_long.then(|| place.link_with("value", &[("path", &path)])),
            value: Tree::default(),
        }
    }
}

impl Question {
    fn of(task: &TaskWrites<'_>, seen: String, writes: &Writes<'_>) -> Option<Self> {
        let question = writes.note(task.task_id, INTERRUPT, "question")?;
        let pointer = asked::within(question.2);
        Some(Self {
            task: task.task_id.to_string(),
            shown_task: shown::start(task.task_id.as_str(), 120),
            said: Said::of(question, pointer, writes.place),
            answered: task.answers.is_some(),
            seen,
        })
    }
}

impl Failure {
    fn of(task: &TaskWrites<'_>, writes: &Writes<'_>) -> Option<Self> {
        let error = writes.note(task.task_id, ERROR, "error")?;
        Some(Self {
            task: shown::start(task.task_id.as_str(), 120),
            said: Said::of(error, "", writes.place),
        })
    }
}

impl Task {
    /// The first writes of a task, as many as there is room for.
    fn of(task: &TaskWrites<'_>, writes: &Writes<'_>, room: usize) -> Self {
        let shown = left(task, writes).take(room);
        Self {
            id: shown::start(task.task_id.as_str(), 120),
            state: task.state.as_str(),
            writes: Tree::of_all(shown, writes.place, WRITES),
        }
    }
}

/// What a task has left: what is noted of it, and its outputs.
fn left<'a>(task: &TaskWrites<'a>, writes: &Writes<'a>) -> impl Iterator<Item = Named<'a>> {
    let notes = [
        ("question", INTERRUPT),
        ("answers", RESUME),
        ("error", ERROR),
        ("scheduled", SCHEDULED),
    ];
    let notes = notes
        .into_iter()
        .filter_map(|(name, channel)| writes.note(task.task_id, channel, name));
    let outputs = task.outputs.iter().copied();
    notes.chain(outputs.filter_map(|write| writes.output(write)))
}

#[cfg(test)]
mod tests;
