//! What an import has done, and what it couldn't do.

use std::fmt;

use checkpointer::CheckpointNs;

use super::tables::{CheckpointRow, WriteRow};

/// What was imported, and what couldn't be.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// The threads that were looked at.
    pub threads: u64,
    /// Those among them that were there already, and were left as they are.
    pub present: u64,
    /// The checkpoints that were put.
    pub checkpoints: u64,
    /// The pending writes that were put.
    pub writes: u64,
    /// The values, among those of checkpoints and writes, that are stored as LangGraph had them,
    /// in a form that isn't readable: encrypted or pickled ones, and damaged ones.
    pub opaque: u64,
    /// What couldn't be imported.
    pub losses: Vec<Loss>,
}

/// How much was put of a thread.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) checkpoints: u64,
    pub(super) writes: u64,
    pub(super) opaque: u64,
}

/// Something that couldn't be imported.
#[derive(Debug)]
#[non_exhaustive]
pub struct Loss {
    /// The thread.
    pub thread_id: String,
    /// Where in the thread; none if it is the thread.
    pub place: Option<Place>,
    /// Why.
    pub reason: Reason,
}

/// A place in a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The namespace.
    pub checkpoint_ns: String,
    /// The checkpoint; empty if it is the namespace as a whole, whose name can't be one.
    pub checkpoint_id: String,
    /// The task whose pending writes they are; empty if it is the checkpoint.
    pub task_id: String,
}

/// Why something couldn't be imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The target refuses it.
    #[error(transparent)]
    Refused(checkpointer::Error),
    /// The thread was deleted in the target, and stays deleted.
    #[error("it was deleted in the target")]
    Deleted,
    /// The task has a later write to the same channel, of whose writes the last one counts.
    #[error("a later write of the task to `{channel}` takes its place")]
    Replaced {
        /// The channel.
        channel: String,
    },
    /// The source has something else where it should have an object.
    #[error("the stored `{field}` isn't an object")]
    NoObject {
        /// A field of the checkpoint, the checkpoint itself, or its metadata.
        field: String,
    },
}

impl Counts {
    pub(super) fn add(&mut self, more: Self) {
        self.checkpoints += more.checkpoints;
        self.writes += more.writes;
        self.opaque += more.opaque;
    }

    pub(super) fn add_to(self, report: &mut Report) {
        report.checkpoints += self.checkpoints;
        report.writes += self.writes;
        report.opaque += self.opaque;
    }

    pub(super) fn take_from(self, report: &mut Report) {
        report.checkpoints -= self.checkpoints;
        report.writes -= self.writes;
        report.opaque -= self.opaque;
    }
}

impl Place {
    pub(super) fn of_checkpoint(row: &CheckpointRow) -> Self {
        Self::new(&row.checkpoint_ns, &row.checkpoint_id, "")
    }

    pub(super) fn of_write(row: &WriteRow) -> Self {
        Self::new(&row.checkpoint_ns, &row.checkpoint_id, &row.task_id)
    }

    fn new(checkpoint_ns: &str, checkpoint_id: &str, task_id: &str) -> Self {
        Self {
            checkpoint_ns: checkpoint_ns.to_owned(),
            checkpoint_id: checkpoint_id.to_owned(),
            task_id: task_id.to_owned(),
        }
    }

    /// The whole namespace, if it is one that no checkpoint can be in.
    pub(super) fn widened(self) -> Self {
        match CheckpointNs::new(&self.checkpoint_ns) {
            Ok(_) => self,
            Err(_) => Self::new(&self.checkpoint_ns, "", ""),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "thread `{}`", self.thread_id)?;
        if let Some(place) = &self.place {
            for (kind, name) in [
                ("namespace", &place.checkpoint_ns),
                ("checkpoint", &place.checkpoint_id),
                ("task", &place.task_id),
            ] {
                if !name.is_empty() {
                    write!(f, ", {kind} `{name}`")?;
                }
            }
        }
        write!(f, ": {}", self.reason)
    }
}

impl Report {
    pub(super) fn lose(&mut self, thread_id: &str, place: Option<Place>, reason: Reason) {
        self.losses.push(Loss {
            thread_id: thread_id.to_owned(),
            place,
            reason,
        });
    }
}
