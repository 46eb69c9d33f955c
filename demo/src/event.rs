//! What a run tells the process that watches it: one line of plain words each.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use checkpointer::TaskId;
use serde_json::Value;

/// Receives what happens, when it happens.
pub(crate) type Report = Arc<dyn Fn(Event) + Send + Sync>;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// A step begins; some of its tasks have been recorded before.
    Step {
        node: String,
        tasks: usize,
        recorded: usize,
    },
    /// A task is about to run.
    Started(TaskId),
    /// The output of a task is stored.
    Recorded(TaskId),
    /// A step is over and its checkpoint is stored.
    Checkpoint { step: i64, node: String },
    /// The run waits for an answer to this question.
    Interrupted(Value),
    /// The graph has ended.
    Finished,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step {
                node,
                tasks,
                recorded,
            } => write!(f, "step {node} {tasks} {recorded}"),
            Self::Started(task_id) => write!(f, "started {task_id}"),
            Self::Recorded(task_id) => write!(f, "recorded {task_id}"),
            Self::Checkpoint { step, node } => write!(f, "checkpoint {step} {node}"),
            Self::Interrupted(question) => write!(f, "interrupted {question}"),
            Self::Finished => f.write_str("finished"),
        }
    }
}

impl FromStr for Event {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> Result<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let mut words = rest.split(' ');
        let mut next = || words.next().with_context(|| format!("`{line}` is cut off"));
        Ok(match word {
            "step" => Self::Step {
                node: next()?.to_owned(),
                tasks: next()?.parse()?,
                recorded: next()?.parse()?,
            },
            "started" => Self::Started(TaskId::new(rest)?),
            "recorded" => Self::Recorded(TaskId::new(rest)?),
            "checkpoint" => Self::Checkpoint {
                step: next()?.parse()?,
                node: next()?.to_owned(),
            },
            "interrupted" => Self::Interrupted(serde_json::from_str(rest)?),
            "finished" => Self::Finished,
            _ => bail!("`{line}` is no event"),
        })
    }
}

/// Prints an event as a line at once, so that it is known even if the process dies right after.
pub(crate) fn print(event: Event) {
    let mut stdout = io::stdout().lock();
    // The reader has gone: the run itself isn't hurt by that.
    let _ = writeln!(stdout, "{event}").and_then(|()| stdout.flush());
}
