//! The pending writes of one task.

use checkpointer::channels::{ERROR, INTERRUPT, RESUME, SCHEDULED};
use serde_json::Value;

use super::report::Place;
use super::tables::WriteRow;

/// The channels that have one write of a task: the last one. Savers before November 2024
/// kept several.
const SPECIAL: [&str; 4] = [ERROR, SCHEDULED, INTERRUPT, RESUME];

/// The writes of a task that ran on one checkpoint, by index.
#[derive(Debug, Default)]
pub(super) struct TaskWrites(Vec<WriteRow>);

impl TaskWrites {
    /// Adds a row. If that is of another task, or the task ran on another checkpoint, it begins anew,
    /// and what it had is returned.
    pub(super) fn add(&mut self, row: WriteRow) -> Option<Self> {
        let first = self.0.first();
        let is_other = first.is_some_and(|first| !is_same_task(first, &row));
        let finished = is_other.then(|| std::mem::take(self));
        self.0.push(row);
        finished
    }

    /// Where the task ran; none if there are no writes.
    pub(super) fn place(&self) -> Option<Place> {
        self.0.first().map(Place::of_write)
    }

    /// The task's path. An older saver stored none, so the rows of a task may differ: the longest
    /// is the whole one.
    pub(super) fn task_path(&self) -> String {
        let paths = self.0.iter().map(|row| row.task_path.as_str());
        paths
            .max_by_key(|path| path.len())
            .unwrap_or_default()
            .to_owned()
    }

    /// Takes out all but the last write to each channel that has one. Returns their channels.
    pub(super) fn take_replaced(&mut self) -> Vec<String> {
        let mut replaced = Vec::new();
        for channel in SPECIAL {
            let mut further = self.0.iter().filter(|row| row.channel == channel).count();
            self.0.retain(|row| {
                let is_replaced = row.channel == channel && further > 1;
                if is_replaced {
                    further -= 1;
                    replaced.push(channel.to_owned());
                }
                !is_replaced
            });
        }
        replaced
    }

    /// Channels and values by index. The indexes themselves don't come over: a checkpointer counts
    /// regular writes from 0, and LangGraph's savers count special ones along.
    pub(super) fn into_writes(self) -> Vec<(String, Value)> {
        let write = |row: WriteRow| (row.channel, row.value.to_json());
        self.0.into_iter().map(write).collect()
    }
}

fn is_same_task(one: &WriteRow, other: &WriteRow) -> bool {
    one.task_id == other.task_id
        && one.checkpoint_id == other.checkpoint_id
        && one.checkpoint_ns == other.checkpoint_ns
}

#[cfg(test)]
mod tests;
