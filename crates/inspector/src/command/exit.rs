//! How the program ends.

use std::process::ExitCode;

use checkpointer::ErrorKind;

/// How the program ends: each has an exit code for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All was done.
    Done = 0,
    /// Something failed, or isn't as it should be.
    Failed = 1,
    /// What was asked for can't be meant. `clap` ends the program with it, too.
    Usage = 2,
    /// What the command names isn't there.
    NotFound = 3,
    /// Another program was faster, has a lease, or has made it already.
    Conflict = 4,
    /// The database can't be used at the moment.
    Unavailable = 5,
    /// The change wasn't confirmed.
    Unconfirmed = 6,
    /// Ctrl-C.
    Interrupted = 130,
}

/// A failure whose exit code isn't 1.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) outcome: Outcome,
    message: String,
}

impl Failure {
    /// Says that what was asked for can't be meant.
    pub(crate) fn usage(message: impl Into<String>) -> anyhow::Error {
        Self::with(Outcome::Usage, message)
    }

    /// Says that what the command names isn't there.
    pub(crate) fn not_found(message: impl Into<String>) -> anyhow::Error {
        Self::with(Outcome::NotFound, message)
    }

    /// Says that a change wasn't confirmed.
    pub(crate) fn unconfirmed(message: impl Into<String>) -> anyhow::Error {
        Self::with(Outcome::Unconfirmed, message)
    }

    /// Says that another program is in the way.
    pub(crate) fn conflict(message: impl Into<String>) -> anyhow::Error {
        Self::with(Outcome::Conflict, message)
    }

    fn with(outcome: Outcome, message: impl Into<String>) -> anyhow::Error {
        let message = message.into();
        Self { outcome, message }.into()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Outcome {
    /// What an error means to a script.
    pub(crate) fn of(error: &anyhow::Error) -> Self {
        (error.chain())
            .find_map(Self::of_one)
            .unwrap_or(Self::Failed)
    }

    fn of_one(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(failure) = error.downcast_ref::<Failure>() {
            return Some(failure.outcome);
        }
        if let Some(error) = error.downcast_ref::<checkpointer::Error>() {
            return Some(match error.kind() {
                ErrorKind::NotFound | ErrorKind::Gone => Self::NotFound,
                ErrorKind::Conflict => Self::Conflict,
                ErrorKind::Unavailable => Self::Unavailable,
                _ => Self::Failed,
            });
        }
        let error = error.downcast_ref::<db::Error>()?;
        error.is_unavailable().then_some(Self::Unavailable)
    }
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(outcome as u8)
    }
}
