//! Which checkpoints of a history are looked for.

use std::str::FromStr;

use checkpointer::serde_json::Value;
use checkpointer::{Checkpoint, CheckpointTuple};

use crate::facts::{changed, nodes};

/// Which checkpoints of a thread are looked for. One that isn't in all respects as it is asked for is left
/// out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct HistoryFilter {
    /// Only those that this node has made.
    pub node: Option<String>,
    /// Only those of this source, such as `loop` or `fork`.
    pub source: Option<String>,
    /// Only those of these steps.
    pub steps: Option<Steps>,
    /// Only those that changed this channel.
    pub changed: Option<String>,
    /// Only those that have this text in their metadata, in their namespace or in a value that they
    /// changed, in capital or small letters.
    pub text: Option<String>,
    /// Only pinned ones.
    pub pinned: bool,
}

/// Some steps, from the first to the last one.
///
/// # Examples
///
/// ```
/// use inspector::Steps;
///
/// let steps: Steps = "3..7".parse()?;
/// assert!(steps.contains(7) && !steps.contains(8));
/// let later: Steps = "8..".parse()?;
/// assert!(later.contains(100));
/// let one: Steps = "-1".parse()?;
/// assert!(one.contains(-1) && !one.contains(0));
/// # Ok::<(), inspector::MalformedSteps>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    first: i64,
    last: i64,
}

/// A text says of no steps which they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it must be a step, such as 5, or steps from one to another, such as 3..7, 3.. or ..7")]
pub struct MalformedSteps;

impl Steps {
    /// Whether a step is one of them.
    pub fn contains(self, step: i64) -> bool {
        (self.first..=self.last).contains(&step)
    }
}

impl FromStr for Steps {
    type Err = MalformedSteps;

    fn from_str(text: &str) -> Result<Self, MalformedSteps> {
        let step = |text: &str, open: i64| match text.trim() {
            "" => Ok(open),
            text => text.parse().map_err(|_| MalformedSteps),
        };
        match text.split_once("..") {
            Some((first, last)) => Ok(Self {
                first: step(first, i64::MIN)?,
                last: step(last, i64::MAX)?,
            }),
            None => {
                let only = text.trim().parse().map_err(|_| MalformedSteps)?;
                Ok(Self {
                    first: only,
                    last: only,
                })
            }
        }
    }
}

impl HistoryFilter {
    /// Whether every checkpoint is as it is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a checkpoint has to be seen beside its parent.
    pub(crate) fn looks_at_changes(&self) -> bool {
        self.node.is_some() || self.changed.is_some() || self.text.is_some()
    }

    /// Whether a checkpoint is as it is asked for, but for the text.
    pub(crate) fn allows(&self, tuple: &CheckpointTuple, parent: Option<&Checkpoint>) -> bool {
        let metadata = &tuple.metadata;
        let source = self.source.as_deref();
        (tuple.pinned || !self.pinned)
            && (source.is_none() || metadata.source() == source)
            && (self.steps).is_none_or(|steps| metadata.step().is_some_and(|at| steps.contains(at)))
            && (self.node.as_ref()).is_none_or(|node| nodes(tuple, parent).contains(node))
            && (self.changed.as_ref())
                .is_none_or(|channel| changed(&tuple.checkpoint, parent).contains(channel))
    }
}

/// Whether a text is somewhere in a value, or in a name in it. `text` is in small letters.
pub(crate) fn contains(value: &Value, text: &str) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(_) | Value::Number(_) => is_in(&value.to_string(), text),
        Value::String(found) => is_in(found, text),
        Value::Array(items) => items.iter().any(|item| contains(item, text)),
        Value::Object(members) => {
            (members.iter()).any(|(key, value)| is_in(key, text) || contains(value, text))
        }
    }
}

/// Whether `text`, which is in small letters, is in another one.
pub(crate) fn is_in(found: &str, text: &str) -> bool {
    found.to_lowercase().contains(text)
}
