//! How the writes of one call are numbered, the same in every checkpointer.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::channels::{ERROR, INTERRUPT, RESUME, SCHEDULED};

/// What a runtime notes about a task, rather than the task's output: such a write has an index of
/// its own, so that the last one replaces the one before it.
const SPECIAL: [(&str, i32); 4] = [(ERROR, -1), (SCHEDULED, -2), (INTERRUPT, -3), (RESUME, -4)];

/// Returns the index of a write to a special channel.
pub(crate) fn special_index(channel: &str) -> Option<i32> {
    SPECIAL
        .iter()
        .find(|(special, _)| *special == channel)
        .map(|(_, idx)| *idx)
}

/// One write of a call, with its index among the task's writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Numbered<'a> {
    pub(crate) idx: i32,
    pub(crate) channel: &'a str,
    pub(crate) value: &'a Value,
}

impl Numbered<'_> {
    /// Whether it is one of the task's outputs, of which those of the first call stay. Any other
    /// replaces a stored write of the same index.
    pub(crate) fn is_regular(&self) -> bool {
        self.idx >= 0
    }
}

/// Numbers the writes of one call, each index once, the smallest first.
///
/// Regular writes count from 0, so that two calls of one task collide, whatever else they hold; of
/// several to one special channel the last one counts.
pub(crate) fn number(writes: &[(String, Value)]) -> Vec<Numbered<'_>> {
    let mut numbered = BTreeMap::new();
    let mut regular = 0;
    for (channel, value) in writes {
        let idx = special_index(channel).unwrap_or(regular);
        regular = regular.max(idx + 1);
        let write = Numbered {
            idx,
            channel,
            value,
        };
        numbered.insert(idx, write);
    }
    numbered.into_values().collect()
}

#[cfg(test)]
mod tests;
