//! The pending writes of one task.

use serde_json::Value;

use super::report::Place;
use super::tables::WriteRow;

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

    /// Channels and values, each regular write at its position. A checkpointer numbers them by
    /// position, and a task that is run again must find its writes under the same numbers.
    ///
    /// A special write has a negative index. It stood at one of the positions that are missing, and
    /// doesn't depend on which.
    pub(super) fn in_positions(self) -> Vec<(String, Value)> {
        let (special, regular): (Vec<_>, Vec<_>) = self.0.into_iter().partition(|row| row.idx < 0);
        let positions = regular.last().map_or(0, |last| i64::from(last.idx) + 1);
        let gaps = positions - regular.len() as i64;
        let fills = gaps <= special.len() as i64;
        let mut special = special.into_iter();
        let mut rows = Vec::new();
        for row in regular {
            while fills && (rows.len() as i64) < i64::from(row.idx) {
                rows.extend(special.next());
            }
            rows.push(row);
        }
        rows.extend(special);
        let write = |row: WriteRow| (row.channel, row.value.to_json());
        rows.into_iter().map(write).collect()
    }
}

fn is_same_task(one: &WriteRow, other: &WriteRow) -> bool {
    one.task_id == other.task_id
        && one.checkpoint_id == other.checkpoint_id
        && one.checkpoint_ns == other.checkpoint_ns
}

#[cfg(test)]
mod tests;
