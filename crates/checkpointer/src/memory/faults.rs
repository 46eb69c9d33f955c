//! Failures that a test asks for.

use super::{MemoryCheckpointer, Store};
use crate::{Error, Result};

/// How a call of a [`MemoryCheckpointer`] fails, for tests of what a program does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// It isn't done, and may be repeated: as if the connection was lost before it was sent.
    Transient,
    /// The caller isn't told whether it was done: as if the connection was lost before the answer.
    #[non_exhaustive]
    OutcomeUnknown {
        /// Whether it was done.
        is_done: bool,
    },
    /// A put finds another head than it expects, guarded or not. Any other call doesn't meet this.
    Conflict,
}

impl Fault {
    /// The caller isn't told whether the call was done.
    #[must_use]
    pub fn outcome_unknown(is_done: bool) -> Self {
        Self::OutcomeUnknown { is_done }
    }
}

/// A call that can be asked to fail, named as its method of [`Checkpointer`](crate::Checkpointer). The one
/// within a transaction is meant as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultyCall {
    /// `put`
    Put,
    /// `put_writes`
    PutWrites,
    /// `get_tuple`
    GetTuple,
    /// `delete_thread`
    DeleteThread,
    /// `acquire_lease`
    AcquireLease,
    /// `renew_lease`
    RenewLease,
}

impl FaultyCall {
    fn operation(self) -> &'static str {
        match self {
            Self::Put => "put a checkpoint",
            Self::PutWrites => "put pending writes",
            Self::GetTuple => "get a checkpoint",
            Self::DeleteThread => "delete a thread",
            Self::AcquireLease => "acquire a lease",
            Self::RenewLease => "renew a lease",
        }
    }
}

/// The failures that are still to come.
#[derive(Default)]
pub(super) struct Faults(Vec<Asked>);

struct Asked {
    call: FaultyCall,
    /// How many calls succeed before.
    after: usize,
    fault: Fault,
}

impl Faults {
    /// The fault of this call, if one was asked for.
    pub(super) fn next(&mut self, call: FaultyCall) -> Option<Fault> {
        let due = self
            .0
            .iter()
            .position(|asked| asked.call == call && asked.after == 0);
        let due = due.map(|due| self.0.remove(due).fault);
        for asked in self.0.iter_mut().filter(|asked| asked.call == call) {
            asked.after = asked.after.saturating_sub(1);
        }
        due
    }
}

impl MemoryCheckpointer {
    /// Lets a call fail, after `after` further ones of the same kind: 0 is the next one. Each time it is
    /// called, it adds a failure. Those that are due at the same call come one after the other.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{ErrorKind, Fault, FaultyCall, MemoryCheckpointer};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// let checkpointer = MemoryCheckpointer::new();
    /// checkpointer.fail(FaultyCall::Put, 0, Fault::outcome_unknown(true));
    ///
    /// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
    /// let messages = vec!["Where is my order?".to_owned()];
    /// let error = thread.save(&messages).await.unwrap_err();
    /// assert!(error.is_outcome_unknown());
    /// assert_eq!(error.kind(), ErrorKind::Unavailable);
    ///
    /// // The save after it finds out that it was done, and doesn't conflict with it.
    /// thread.save(&messages).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn fail(&self, call: FaultyCall, after: usize, fault: Fault) {
        self.lock().faults.0.push(Asked { call, after, fault });
    }
}

impl Store {
    /// Does a call, unless it is asked to fail.
    pub(super) fn call<T>(
        &mut self,
        call: FaultyCall,
        work: impl FnOnce(&mut Store, Option<Fault>) -> Result<T>,
    ) -> Result<T> {
        let fault = self.faults.next(call);
        match fault {
            Some(Fault::Transient) => Err(lost(call)),
            Some(Fault::OutcomeUnknown { is_done }) => {
                if is_done {
                    // Its own failure gets lost as well.
                    let _ = work(self, None);
                }
                Err(unknown(call))
            }
            Some(Fault::Conflict) | None => work(self, fault),
        }
    }
}

fn lost(call: FaultyCall) -> Error {
    let source = db::Error::ConnectionLost {
        statement: call.operation().to_owned(),
        source: None,
    };
    Error::database(call.operation(), source)
}

fn unknown(call: FaultyCall) -> Error {
    let source = db::Error::OutcomeUnknown {
        statement: call.operation().to_owned(),
        source: None,
    };
    Error::database(call.operation(), source)
}
