//! What was acknowledged, by agent.

use std::collections::BTreeMap;

use super::{Event, Fact};

/// What is known to have been acknowledged, by agent.
#[derive(Debug, Default)]
pub struct Ledger {
    lives: BTreeMap<u64, Life>,
    violations: Vec<String>,
}

/// What is known of one agent.
#[derive(Debug, Clone, Default)]
pub struct Life {
    /// The times each task was run, by checkpoint and task.
    pub(super) begun: BTreeMap<(u64, u64), Vec<u32>>,
    /// The tasks whose output was acknowledged.
    pub(super) recorded: BTreeMap<(u64, u64), u32>,
    /// The ids of the checkpoints that were acknowledged, by number.
    pub(super) put: BTreeMap<u64, String>,
    /// Whether checkpoints of it were removed.
    pub(super) pruned: bool,
    finished: bool,
    gone: bool,
}

impl Ledger {
    /// Takes in what has happened.
    pub fn note(&mut self, fact: Fact) {
        let agent = fact.agent;
        let life = self.lives.entry(agent).or_default();
        match fact.event {
            Event::Begun {
                number,
                task,
                attempt,
            } => {
                if life.recorded.contains_key(&(number, task)) && !life.pruned {
                    self.violations.push(format!(
                        "agent {agent}: task {task} of step {number} ran again although its output was recorded"
                    ));
                }
                life.begun.entry((number, task)).or_default().push(attempt);
            }
            Event::Recorded {
                number,
                task,
                attempt,
            } => {
                life.recorded.insert((number, task), attempt);
            }
            Event::Put { number, id } => {
                if let Some(before) = life.put.insert(number, id.clone()) {
                    self.violations.push(format!(
                        "agent {agent}: step {number} was acknowledged as {before} and as {id}"
                    ));
                }
            }
            Event::Conflict | Event::Interrupted(_) | Event::Did(_) => {}
            Event::Gone => life.gone = true,
            Event::Finished => life.finished = true,
            Event::Violation(what) => self.violations.push(format!("agent {agent}: {what}")),
        }
    }

    /// Returns what is known of an agent.
    pub fn life(&self, agent: u64) -> Life {
        self.lives.get(&agent).cloned().unwrap_or_default()
    }

    /// Checkpoints of an agent are about to be removed: they needn't be there any more.
    pub fn prune(&mut self, agent: u64) {
        self.lives.entry(agent).or_default().pruned = true;
    }

    /// Forgets an agent, and returns what was known of it.
    pub fn forget(&mut self, agent: u64) -> Life {
        self.lives.remove(&agent).unwrap_or_default()
    }

    /// Takes out what must not have been.
    pub fn take_violations(&mut self) -> Vec<String> {
        std::mem::take(&mut self.violations)
    }
}

impl Life {
    /// What is known of an agent of which checkpoints were removed, whatever was acknowledged.
    pub fn of_pruned() -> Self {
        Self {
            pruned: true,
            ..Self::default()
        }
    }

    /// Whether a checkpoint of it was acknowledged.
    pub fn has_begun(&self) -> bool {
        !self.put.is_empty()
    }

    /// Whether it said that its last checkpoint is stored.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether it found its thread gone.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// The number of the last checkpoint that was acknowledged.
    pub fn last_put(&self) -> Option<u64> {
        self.put.last_key_value().map(|(number, _)| *number)
    }

    /// Whether a task was run more than once, as it may be if no output of it was acknowledged: the
    /// outputs that came too late leave chunks that nothing refers to.
    pub(super) fn is_contested(&self) -> bool {
        self.begun.values().any(|attempts| attempts.len() > 1)
    }
}
