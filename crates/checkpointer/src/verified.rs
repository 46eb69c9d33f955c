//! What the verification of a thread has found.

mod kind;

use crate::{CheckpointId, CheckpointNs, ThreadId};

pub use kind::FindingKind;

/// How many findings of a thread are kept: a thread of a million checkpoints may have lost all their
/// chunks.
const MAX_FINDINGS: usize = 1_000;

/// A thread of which everything was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "there may be findings"]
#[non_exhaustive]
pub struct VerifiedThread {
    /// The thread.
    pub thread_id: ThreadId,
    /// How many checkpoints were read.
    pub checkpoints: u64,
    /// How many pending writes were read.
    pub pending_writes: u64,
    /// How many chunks were read.
    pub chunks: u64,
    /// What is wrong, a thousand findings at most.
    pub findings: Vec<Finding>,
    /// How many more findings there were. They weren't kept.
    pub further: u64,
    /// How many of these are damage that wasn't repaired.
    pub further_damage: u64,
}

/// Something that is wrong with what is stored of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of thing is wrong, which says what to do.
    pub kind: FindingKind,
    /// The namespace in which it is.
    pub checkpoint_ns: Option<CheckpointNs>,
    /// The checkpoint that it is about.
    pub checkpoint_id: Option<CheckpointId>,
    /// What is wrong, by name. It quotes no value.
    pub what: String,
    /// Whether it was repaired.
    pub repaired: bool,
}

impl VerifiedThread {
    /// Makes the answer for a thread of which nothing was read yet, for those who write a
    /// checkpointer.
    pub fn new(thread_id: ThreadId) -> Self {
        Self {
            thread_id,
            checkpoints: 0,
            pending_writes: 0,
            chunks: 0,
            findings: Vec::new(),
            further: 0,
            further_damage: 0,
        }
    }

    /// Whether nothing is damaged, or all damage was repaired. What only takes room is no damage.
    pub fn is_sound(&self) -> bool {
        self.further_damage == 0 && !self.findings.iter().any(Finding::is_unrepaired_damage)
    }

    pub(crate) fn add(&mut self, finding: Finding) {
        match self.findings.len() {
            ..MAX_FINDINGS => self.findings.push(finding),
            _ => {
                self.further += 1;
                self.further_damage += u64::from(finding.is_unrepaired_damage());
            }
        }
    }
}

impl Finding {
    /// Makes a finding, for those who write a checkpointer: `what` says by name what is wrong.
    #[must_use]
    pub fn new(kind: FindingKind, what: impl Into<String>) -> Self {
        Self {
            kind,
            checkpoint_ns: None,
            checkpoint_id: None,
            what: what.into(),
            repaired: false,
        }
    }

    /// Says in which namespace it is.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: CheckpointNs) -> Self {
        Self {
            checkpoint_ns: Some(checkpoint_ns),
            ..self
        }
    }

    /// Says which checkpoint it is about.
    #[must_use]
    pub fn of_checkpoint(self, checkpoint_id: CheckpointId) -> Self {
        Self {
            checkpoint_id: Some(checkpoint_id),
            ..self
        }
    }

    fn is_unrepaired_damage(&self) -> bool {
        self.kind.is_damage() && !self.repaired
    }
}

#[cfg(test)]
mod tests;
