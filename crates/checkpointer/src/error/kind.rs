//! Errors by what their caller can do about them.

use std::fmt;

use super::Error;

/// What an error means to its caller, such as a web service that answers with a status.
///
/// `docs/errors.md` has the kind of each [`Error`], and the status of HTTP that fits.
///
/// # Examples
///
/// ```
/// use checkpointer::{Error, ErrorKind};
///
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::NotFound => 404,
///         ErrorKind::Conflict => 409,
///         ErrorKind::Gone => 410,
///         ErrorKind::Invalid => 422,
///         ErrorKind::Unsupported => 501,
///         ErrorKind::Unavailable => 503,
///         ErrorKind::Full => 507,
///         _ => 500,
///     }
/// }
///
/// let thread_id = checkpointer::ThreadId::new("support-4711")?;
/// assert_eq!(status(&Error::thread_not_found(&thread_id)), 404);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What the call names isn't there.
    NotFound,
    /// Another program was faster, has a lease, or has made it already: load, and decide.
    Conflict,
    /// The thread was deleted.
    Gone,
    /// The call asks for what can't be stored. It never succeeds as it is.
    Invalid,
    /// The checkpointer doesn't have that call.
    Unsupported,
    /// The database can't be used at the moment, or was too slow. The same call may succeed later.
    /// Whether it has taken effect says [`Error::is_outcome_unknown`].
    Unavailable,
    /// The thread has no room for it. The same call succeeds once there is some.
    Full,
    /// Something is wrong with the program, with what is stored, or with how the database is set up.
    Internal,
}

impl ErrorKind {
    /// Returns its name for logs and answers, such as `not_found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Gone => "gone",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::Full => "full",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    /// Returns what the error means to its caller.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::ThreadNotFound { .. }
            | Self::CheckpointNotFound { .. }
            | Self::ParentNotFound { .. } => ErrorKind::NotFound,
            Self::Conflict { .. }
            | Self::LeaseHeld { .. }
            | Self::LeaseLost { .. }
            | Self::ThreadExists { .. } => ErrorKind::Conflict,
            Self::ThreadDeleted { .. } => ErrorKind::Gone,
            Self::InvalidName { .. }
            | Self::Unstorable { .. }
            | Self::UnstorableState { .. }
            | Self::PartialCheckpoint { .. }
            | Self::AppendMismatch { .. }
            | Self::MalformedCheckpoint { .. }
            | Self::MalformedExport { .. } => ErrorKind::Invalid,
            Self::ThreadFull { .. } => ErrorKind::Full,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Busy { .. } | Self::Closed => ErrorKind::Unavailable,
            Self::Corrupt { .. }
            | Self::StateMismatch { .. }
            | Self::StateTooNew { .. }
            | Self::UnsuitableDatabase { .. }
            | Self::CloseFailed { .. } => ErrorKind::Internal,
            Self::Database { source, .. } if source.is_unavailable() => ErrorKind::Unavailable,
            Self::Database { .. } => ErrorKind::Internal,
        }
    }
}

#[cfg(test)]
mod tests;
