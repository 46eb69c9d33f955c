//! Why a trace can't be replayed.

use std::io;

/// The result of a replay.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A trace that can't be replayed. Answers that differ are no error: they are reported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("failed to read line {line}")]
    Read {
        /// The line, counted from 1.
        line: usize,
        /// Why it failed.
        source: io::Error,
    },
    /// A line isn't what a trace holds.
    #[error("line {line} can't be understood")]
    Malformed {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line names a call there is none of.
    #[error("line {line} has the unknown op `{op}`")]
    UnknownOp {
        /// The line, counted from 1.
        line: usize,
        /// Its op.
        op: String,
    },
    /// A line holds a checkpoint or a name that can't be one.
    #[error("line {line} can't be asked of a checkpointer")]
    Unaskable {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        source: checkpointer::Error,
    },
}
