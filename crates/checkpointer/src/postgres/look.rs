//! Looking at a thread.

use db::Row;

use super::refusal::{lost, refusal};
use super::sql;
use super::store::Store;
use super::view::View;
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

impl Store {
    /// Reads the state of a thread as of now, and remembers it.
    pub(super) async fn look(
        &self,
        thread_id: &ThreadId,
        checkpoint_ns: &CheckpointNs,
        checkpoint_id: &CheckpointId,
        parent: Option<&CheckpointId>,
        lease: Option<&Lease>,
    ) -> Result<Look> {
        let look = sql::Look {
            thread_id: thread_id.as_str(),
            ns: checkpoint_ns.as_str(),
            id: checkpoint_id.as_str(),
            parent: parent.map(CheckpointId::as_str),
            lease: lease.map(|lease| lease.token.as_str()),
        };
        let row = self
            .query_opt("look at the thread", self.sql.look.with(&look))
            .await?;
        self.chunks.forget(thread_id);
        let Some(row) = row else {
            return Ok(Look {
                thread: None,
                refusal: lease.map(|_| lost(thread_id)),
            });
        };
        let seen = Seen::read(&row);
        if !seen.deleted {
            self.chunks.note(thread_id, seen.view, std::iter::empty());
        }
        Ok(Look {
            refusal: refusal(thread_id, lease.is_some(), &row),
            thread: (!seen.is_reserved()).then_some(seen),
        })
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
