//! What an agent does: every content can be made again from it.

use std::collections::BTreeMap;

use checkpointer::{ChannelValues, Checkpoint, CheckpointTuple, ThreadId};
use fastrand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::agent::number;

/// Real text for the contents, and one that doesn't change.
const TEXT: &str = include_str!("../../../../LICENSE-APACHE");

/// How many files an agent works on.
const FILES: u64 = 12;

/// The channels of an agent's state.
pub(super) const MESSAGES: &str = "messages";
pub(super) const FILES_CHANNEL: &str = "files";
pub(super) const PLAN: &str = "plan";
pub(super) const SUMMARY: &str = "summary";
pub(super) const DRAFT: &str = "draft";

/// What an agent does: the same whenever it is asked.
///
/// Its checkpoints are numbered. Number 0 holds the input; each further one holds what its parent
/// does, and the outputs of its tasks: a message and a changed file each. Nearly always the parent
/// is the checkpoint before; a fork goes back to an earlier one. Every content can be made again
/// from the numbers, so that a checkpoint can be checked by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What the contents and the forks are chosen by.
    pub seed: u64,
    /// The agent's number, of which its thread has its name.
    pub agent: u64,
    /// The number of its last checkpoint.
    pub steps: u64,
}

/// What a message says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The checkpoint that it is new in.
    pub(super) number: u64,
    /// The task that wrote it.
    pub(super) task: u64,
    /// Which of the times that the task was run.
    pub(super) attempt: u32,
    content: String,
}

impl Plan {
    /// The thread.
    pub fn thread_id(&self) -> checkpointer::Result<ThreadId> {
        ThreadId::new(format!("agent-{}", self.agent))
    }

    /// How many tasks run for a checkpoint.
    pub(super) fn tasks(&self, number: u64) -> u64 {
        match number {
            0 => 1,
            _ => self.rng("tasks", number, 0).u64(1..=3),
        }
    }

    /// By how many generations the parent of a checkpoint is older than the checkpoint before, if
    /// it is a fork.
    pub(super) fn fork(&self, number: u64) -> Option<u64> {
        let mut rng = self.rng("fork", number, 0);
        (number > 3 && rng.u8(..8) == 0).then(|| rng.u64(1..=3))
    }

    /// Runs a task: a message and a changed file.
    pub(super) fn output(&self, number: u64, task: u64, attempt: u32) -> Vec<(String, Value)> {
        let (path, content) = self.edit(number, task);
        vec![
            (
                MESSAGES.to_owned(),
                json!(self.message(number, task, attempt)),
            ),
            (FILES_CHANNEL.to_owned(), json!({ path: content })),
        ]
    }

    /// The values of a checkpoint, but for [`PLAN`]: what its parent's are made into by the outputs
    /// of its tasks.
    pub(super) fn values(
        &self,
        number: u64,
        mut messages: Vec<Value>,
        mut files: Map<String, Value>,
        outputs: impl IntoIterator<Item = (String, Value)>,
    ) -> BTreeMap<&'static str, Option<Value>> {
        for (channel, value) in outputs {
            match value {
                Value::Object(edits) if channel == FILES_CHANNEL => files.extend(edits),
                value => messages.push(value),
            }
        }
        let draft = || self.piece("draft", number, 0, 40..2_000).into();
        BTreeMap::from([
            (MESSAGES, Some(messages.into())),
            (FILES_CHANNEL, Some(files.into())),
            (
                SUMMARY,
                Some(self.piece("summary", number, 0, 80..120).into()),
            ),
            (DRAFT, number.is_multiple_of(3).then(draft)),
        ])
    }

    /// The part of the state that never changes.
    pub(super) fn constant(&self) -> Value {
        let goals = (0..4).map(|goal| self.piece("goal", 0, goal, 60..600));
        json!({ "agent": self.agent, "goals": goals.collect::<Vec<_>>() })
    }

    /// Checks a checkpoint by its content alone.
    pub fn verify(&self, tuple: &CheckpointTuple) -> Result<(), String> {
        let number = number(tuple).ok_or("a checkpoint has no number")?;
        let checked = self.check(number, &tuple.checkpoint);
        let checked = checked.map_err(|wrong| format!("checkpoint {number} {wrong}"));
        checked.map(drop)
    }

    /// Checks the content of the checkpoint with this number, and returns its messages.
    pub(super) fn check(
        &self,
        number: u64,
        checkpoint: &Checkpoint,
    ) -> Result<Vec<Message>, String> {
        let values = &checkpoint.channel_values;
        let stored = values.get(MESSAGES).unwrap_or(&Value::Null);
        let messages: Vec<Message> = Deserialize::deserialize(stored)
            .map_err(|error| format!("has no list of messages: {error}"))?;
        let mut files = Map::new();
        let mut rest = &messages[..];
        let mut last = None;
        while let Some(first) = rest.first() {
            let due = first.number;
            if last.map_or(due != 0, |last| last >= due) {
                return Err(format!(
                    "has messages of step {due} after those of {last:?}"
                ));
            }
            for task in 0..self.tasks(due) {
                let Some((message, others)) = rest.split_first() else {
                    return Err(format!("lacks the message of task {task} of step {due}"));
                };
                if *message != self.message(due, task, message.attempt) {
                    return Err(format!("has a wrong message of task {task} of step {due}"));
                }
                let (path, content) = self.edit(due, task);
                if due > 0 {
                    files.insert(path, content.into());
                }
                rest = others;
            }
            last = Some(due);
        }
        if last != Some(number) {
            return Err(format!("ends with the messages of step {last:?}"));
        }
        let mut expected: ChannelValues = self
            .values(number, Vec::new(), files, [])
            .into_iter()
            .filter_map(|(channel, value)| Some((channel.to_owned(), value?)))
            .collect();
        expected.insert(MESSAGES, stored.clone());
        expected.insert(PLAN, self.constant());
        for channel in [MESSAGES, FILES_CHANNEL, PLAN, SUMMARY, DRAFT] {
            if expected.get(channel) != values.get(channel) {
                return Err(format!("has a wrong value of `{channel}`"));
            }
        }
        Ok(messages)
    }

    fn message(&self, number: u64, task: u64, attempt: u32) -> Message {
        Message {
            number,
            task,
            attempt,
            content: self.piece("message", number, task, 150..700),
        }
    }

    fn edit(&self, number: u64, task: u64) -> (String, String) {
        let file = self.rng("file", number, task).u64(..FILES);
        let content = self.piece("content", number, task, 200..2_500);
        (format!("src/file_{file}.rs"), content)
    }

    fn piece(&self, what: &str, number: u64, index: u64, bytes: std::ops::Range<usize>) -> String {
        let mut rng = self.rng(what, number, index);
        let bytes = rng.usize(bytes);
        let boundary = |at: usize| (0..=at).rev().find(|at| TEXT.is_char_boundary(*at));
        let start = rng.usize(..TEXT.len() - bytes);
        let (start, end) = (boundary(start), boundary(start + bytes));
        TEXT[start.unwrap_or(0)..end.unwrap_or(0)].to_owned()
    }

    fn rng(&self, what: &str, number: u64, index: u64) -> Rng {
        let parts = [self.seed, self.agent, number, index];
        let mix = |state: u64, part: u64| Rng::with_seed(state ^ part).u64(..);
        let what = what.bytes().map(u64::from);
        Rng::with_seed(what.chain(parts).fold(0, mix))
    }
}
