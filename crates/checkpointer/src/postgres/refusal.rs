//! Why a write isn't stored.

use std::error::Error as StdError;
use std::sync::Arc;

use db::Row;

use super::call::Call;
use crate::{Error, ThreadId};

/// How often a write is sent again because its thread changed in the meantime.
pub(super) const MAX_ROUNDS: usize = 64;

/// The write belongs to a generation of the thread that is over.
pub(super) fn deleted(thread_id: &ThreadId) -> Error {
    Error::ThreadDeleted {
        thread_id: thread_id.clone(),
    }
}

/// The thread changed again and again while the write was sent.
pub(super) fn busy(thread_id: &ThreadId) -> Error {
    Error::Busy {
        thread_id: thread_id.clone(),
    }
}

/// The database's runtime ended while the write was sent: what became of it is unknown.
pub(super) fn cut_off(operation: &'static str, statement: &str) -> Error {
    Error::Database {
        operation,
        source: db::Error::OutcomeUnknown {
            statement: statement.to_owned(),
            source: Some(Arc::new(db::Error::RuntimeEnded)),
        },
    }
}

/// What has failed while a write of a call was sent again, or while its thread was looked at: if the answer to
/// an earlier attempt was lost, that one may have stored it.
pub(super) fn undecided(call: Option<&Call>, operation: &'static str, error: Error) -> Error {
    let is_in_doubt = call.is_some_and(Call::is_in_doubt);
    if !is_in_doubt || error.is_outcome_unknown() {
        return error;
    }
    let source: Arc<dyn StdError + Send + Sync> = match error {
        Error::Database { source, .. } => Arc::new(source),
        // It wasn't sent again, or wasn't stored that time.
        Error::Closed | Error::Busy { .. } => Arc::new(error),
        error => return error,
    };
    Error::Database {
        operation,
        source: db::Error::OutcomeUnknown {
            statement: operation.to_owned(),
            source: Some(source),
        },
    }
}

/// The write carries a lease that the thread hasn't any more.
pub(super) fn lost(thread_id: &ThreadId) -> Error {
    Error::LeaseLost {
        thread_id: thread_id.clone(),
    }
}

/// Why a write isn't admitted, by the lease it carries and the one that its thread has.
pub(super) fn refusal(thread_id: &ThreadId, carries_lease: bool, thread: &Row) -> Option<Error> {
    if thread.get("admitted") {
        return None;
    }
    Some(match carries_lease {
        true => lost(thread_id),
        false => Error::LeaseHeld {
            thread_id: thread_id.clone(),
            until: thread.get("lease_until"),
        },
    })
}
