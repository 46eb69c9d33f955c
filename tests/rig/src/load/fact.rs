//! What an agent says that has happened.

use std::fmt;

use checkpointer::CheckpointId;
use serde::{Deserialize, Serialize};

/// What happened to an agent, said after it happened. A line of JSON when it goes from one process
/// to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// The agent.
    pub agent: u64,
    /// What happened.
    pub event: Event,
}

/// What happens to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A task is run. Said before.
    Begun {
        /// The checkpoint it is for.
        number: u64,
        /// Which of its tasks.
        task: u64,
        /// Tells the times apart that it is run.
        attempt: u32,
    },
    /// The task's output was acknowledged.
    Recorded {
        /// The checkpoint it is for.
        number: u64,
        /// Which of its tasks.
        task: u64,
        /// Which of the times that it was run.
        attempt: u32,
    },
    /// A checkpoint was acknowledged.
    Put {
        /// Its number.
        number: u64,
        /// Its id.
        id: String,
    },
    /// Another writer had moved the head: the agent reads it again.
    Conflict,
    /// A call failed, as any may, after all its retries: the agent goes on from what is stored.
    Interrupted(String),
    /// The thread is gone.
    Gone,
    /// The last checkpoint was acknowledged, now or before.
    Finished,
    /// Something was done that is only counted.
    Did(String),
    /// Something that must not be.
    Violation(String),
}

impl Event {
    /// A checkpoint was acknowledged.
    pub(super) fn put(number: u64, id: &CheckpointId) -> Self {
        Self::Put {
            number,
            id: id.as_str().to_owned(),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = serde_json::to_string(self).map_err(|_| fmt::Error)?;
        f.write_str(&line)
    }
}
