//! Threads as lines of JSON: out of one checkpointer, and into another.
//!
//! `docs/export.md` describes the format.

mod export;
mod import;
mod incoming;
mod parse;
mod same;
mod write;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{Checkpoint, CheckpointId, CheckpointNs, Metadata, TaskId, ThreadId};

pub use export::export;
pub use import::{Import, Imported};

/// The version of the format. Lines of every earlier one can be read.
const FORMAT: i64 = 2;

/// The first line of a thread.
#[derive(Debug)]
struct Header {
    thread_id: ThreadId,
    metadata: Map<String, Value>,
    heads: BTreeMap<CheckpointNs, CheckpointId>,
}

/// A line for each checkpoint.
#[derive(Debug)]
struct Step {
    checkpoint_ns: CheckpointNs,
    parent: Option<CheckpointId>,
    checkpoint: Checkpoint,
    metadata: Metadata,
    pinned: bool,
    writes: Vec<TaskWrites>,
}

/// What one call stores: writes of a task with the same path.
#[derive(Debug)]
struct TaskWrites {
    task_id: TaskId,
    task_path: String,
    /// Channels and values.
    writes: Vec<(String, Value)>,
}

/// The last line of a thread: how much there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct End {
    checkpoints: u64,
    writes: u64,
}
