//! Why a program can't do its work.

use std::io;

/// The result of a program's step.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A program that can't do its work. Answers that differ are no error: they are reported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be opened.
    #[error("failed to open the trace")]
    Open {
        /// Why it failed.
        source: io::Error,
    },
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
    /// The environment names no server.
    #[error("failed to read the settings")]
    Settings {
        /// What is wrong with them.
        source: settings::Error,
    },
    /// The server can't be reached.
    #[error("failed to connect to the server")]
    Connect {
        /// Why.
        source: db::Error,
    },
    /// The tables can't be made.
    #[error("failed to make the tables")]
    Tables {
        /// Why.
        source: checkpointer::Error,
    },
    /// The schema can't be removed.
    #[error("failed to remove the schema")]
    DropSchema {
        /// Why.
        source: db::Error,
    },
    /// A program that a server is made of isn't on this machine.
    #[error(
        "there is no `{program}` on this machine: install `{package}` (Debian, Ubuntu: apt-get; \
         macOS: brew)"
    )]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// The package, which is called the same everywhere.
        package: &'static str,
    },
    /// A program that a server is made of failed.
    #[error("`{program}` failed: {said}")]
    Program {
        /// The program's path.
        program: String,
        /// What it printed.
        said: String,
    },
    /// A pooler didn't take a command.
    #[error("failed to give the pooler a command")]
    Console {
        /// What it or the driver said.
        source: tokio_postgres::Error,
    },
    /// A server's folder can't be used.
    #[error("failed to use the folder of a server")]
    Folder {
        /// Why it failed.
        source: io::Error,
    },
    /// Servers refuse to run as root.
    #[error("a server can't run as root, and there is neither a user `postgres` nor `nobody`")]
    NobodyToRunServers,
    /// A process that races has ended.
    #[error("a process that races has ended in the middle of the race")]
    RacerGone,
    /// There is no free port.
    #[error("failed to find a free port")]
    NoPort {
        /// Why it failed.
        source: io::Error,
    },
    /// A call to the checkpointer failed.
    #[error("failed to call the checkpointer")]
    Call {
        /// Why.
        source: checkpointer::Error,
    },
    /// The tables can't be looked at.
    #[error("failed to look at the tables")]
    Look {
        /// Why.
        source: db::Error,
    },
    /// Another process can't be used.
    #[error("failed to {operation} a worker")]
    Worker {
        /// What was done.
        operation: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// What a worker is to do can't be understood.
    #[error("failed to read what the worker is to do")]
    Job {
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Call { source } => source.is_transient(),
            Self::Look { source } | Self::Connect { source } => source.is_transient(),
            _ => false,
        }
    }
}
