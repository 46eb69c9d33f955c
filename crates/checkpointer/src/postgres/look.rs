//! Looking at a thread: in its committed state, or as a transaction of the caller's sees it.

use db::Row;

use super::refusal::{lost, refusal};
use super::sql;
use super::store::Store;
use super::view::View;
use super::within::Within;
use crate::{CheckpointId, CheckpointNs, Error, Lease, Result, ThreadId};

/// What a look at a thread has shown.
#[derive(Debug)]
pub(super) struct Look {
    /// The thread, if there is one.
    pub(super) thread: Option<Seen>,
    /// Why a write with that lease isn't admitted.
    pub(super) refusal: Option<Error>,
}

/// What a thread looks like from one of its namespaces.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) view: View,
    pub(super) deleted: bool,
    pub(super) head: Option<CheckpointId>,
    /// The checkpoint asked for is stored, under the parent asked for.
    pub(super) stored: bool,
    /// It is stored or its parent is: one has the values that it keeps.
    pub(super) inherits: bool,
}

/// What a write asks of its thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct LookFor<'a> {
    pub(super) thread_id: &'a ThreadId,
    pub(super) checkpoint_ns: &'a CheckpointNs,
    pub(super) checkpoint_id: &'a CheckpointId,
    pub(super) parent: Option<&'a CheckpointId>,
    pub(super) lease: Option<&'a Lease>,
}

/// What a look is called in errors.
const OPERATION: &str = "look at the thread";

impl Store {
    /// Reads the state of a thread as of now, and remembers it.
    pub(super) async fn look(&self, asked: LookFor<'_>) -> Result<Look> {
        let look = asked.parameters();
        let row = self.query_opt(OPERATION, self.sql.look.with(&look)).await?;
        self.chunks.forget(asked.thread_id);
        let look = Look::read(asked, row.as_ref());
        if let Some(seen) = row.as_ref().map(Seen::read)
            && !seen.deleted
        {
            let no_chunk = std::iter::empty();
            self.chunks.note(asked.thread_id, seen.view, no_chunk);
        }
        Ok(look)
    }
}

impl Within<'_> {
    /// Reads the state of a thread as the transaction sees it. What it sees may never be committed,
    /// so nothing is remembered.
    pub(super) async fn look(&self, asked: LookFor<'_>) -> Result<Look> {
        let look = asked.parameters();
        let look = self.store.sql.look.with(&look);
        let row = self.query_opt(OPERATION, look).await?;
        Ok(Look::read(asked, row.as_ref()))
    }
}

impl<'a> LookFor<'a> {
    fn parameters(&self) -> sql::Look<'a> {
        sql::Look {
            thread_id: self.thread_id.as_str(),
            ns: self.checkpoint_ns.as_str(),
            id: self.checkpoint_id.as_str(),
            parent: self.parent.map(CheckpointId::as_str),
            lease: self.lease.map(|lease| lease.token.as_str()),
        }
    }
}

impl Look {
    fn read(asked: LookFor<'_>, row: Option<&Row>) -> Self {
        let LookFor {
            thread_id, lease, ..
        } = asked;
        let Some(row) = row else {
            return Self {
                thread: None,
                refusal: lease.map(|_| lost(thread_id)),
            };
        };
        let seen = Seen::read(row);
        Self {
            refusal: refusal(thread_id, lease.is_some(), row),
            thread: (!seen.is_reserved()).then_some(seen),
        }
    }
}

impl Seen {
    /// Whether a lease only keeps the place of a thread that isn't there yet.
    fn is_reserved(&self) -> bool {
        self.deleted && self.view.generation == 1
    }

    fn read(row: &Row) -> Self {
        Self {
            view: View::read(row),
            deleted: row.get("deleted"),
            head: row
                .get::<_, Option<String>>("head")
                .map(CheckpointId::trusted),
            stored: row.get("stored"),
            inherits: row.get("inherits"),
        }
    }
}
