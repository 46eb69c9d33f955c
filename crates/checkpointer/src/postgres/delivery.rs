//! The two ways of a write to the server: by the lanes, or within a transaction of the caller's.

use std::sync::Arc;

use super::lanes::Lanes;
use super::look::{Look, LookFor};
use super::meter;
use super::order;
use super::outgoing::{Outcome, Outgoing, Sent, Why};
use super::sql::DroppedWrites;
use super::view::View;
use super::within::Within;
use crate::{CheckpointTuple, GetTuple, Result};

/// What an error says that could not drop the writes of a put.
const DROP_WRITES: &str = "drop the writes of a refused put";

/// Sends writes, and looks at their threads.
pub(super) trait Delivery {
    /// What a write holds until its outcome is known.
    type Turn: Send;

    /// Sends a write.
    fn send(
        &self,
        write: Outgoing,
        turn: Self::Turn,
    ) -> impl Future<Output = Result<Sent<Self::Turn>>> + Send;

    /// Looks at the thread of a write.
    fn look(&self, asked: LookFor<'_>) -> impl Future<Output = Result<Look>> + Send;

    /// Reads a checkpoint.
    fn read(
        &self,
        query: &GetTuple,
    ) -> impl Future<Output = Result<Option<CheckpointTuple>>> + Send;

    /// Drops pending writes.
    fn drop_writes(&self, dropped: DroppedWrites<'_>) -> impl Future<Output = Result<()>> + Send;
}

impl Delivery for Arc<Lanes> {
    type Turn = order::Turn;

    fn send(
        &self,
        write: Outgoing,
        turn: Self::Turn,
    ) -> impl Future<Output = Result<Sent<Self::Turn>>> + Send {
        Lanes::send(self, write, turn)
    }

    fn look(&self, asked: LookFor<'_>) -> impl Future<Output = Result<Look>> + Send {
        self.store.look(asked)
    }

    fn read(
        &self,
        query: &GetTuple,
    ) -> impl Future<Output = Result<Option<CheckpointTuple>>> + Send {
        self.store.get_tuple(query, None)
    }

    async fn drop_writes(&self, dropped: DroppedWrites<'_>) -> Result<()> {
        let drop_writes = self.store.sql.drop_writes.with(&dropped);
        self.store.execute(DROP_WRITES, drop_writes).await
    }
}

/// A write within a transaction of the caller's takes no turn. That transaction may hold locks of
/// the thread already: a call of this program that has the turn waits for them, and the transaction
/// would wait for the turn, without the database's notice. The locks in the database keep the order
/// of such writes.
impl Delivery for Within<'_> {
    type Turn = ();

    async fn send(&self, mut write: Outgoing, (): ()) -> Result<Sent<()>> {
        let _under_way = meter::UnderWay::new();
        meter::sent(
            write.bytes(),
            write.chunks.hashes.len(),
            write.chunks.relied.len(),
        );
        Ok(match write.send_within(self).await? {
            Outcome::Stored(view) => {
                self.note_after_commit(write, view);
                Sent::Stored(view)
            }
            Outcome::Ignored(view) => Sent::Stored(view),
            Outcome::NotStored(why) => {
                if let Why::NotTheHead | Why::Changed = why {
                    meter::was_stale();
                }
                Sent::NotStored(why, ((), std::mem::take(&mut write.growing)))
            }
        })
    }

    fn look(&self, asked: LookFor<'_>) -> impl Future<Output = Result<Look>> + Send {
        Within::look(self, asked)
    }

    fn read(
        &self,
        query: &GetTuple,
    ) -> impl Future<Output = Result<Option<CheckpointTuple>>> + Send {
        self.get_tuple(query)
    }

    async fn drop_writes(&self, dropped: DroppedWrites<'_>) -> Result<()> {
        let drop_writes = self.store.sql.drop_writes.with(&dropped);
        self.query(DROP_WRITES, drop_writes).await.map(drop)
    }
}

impl Within<'_> {
    /// Notes which chunks a write has shown to be stored, once its transaction is committed.
    fn note_after_commit(&self, write: Outgoing, view: View) {
        let Outgoing {
            thread_id, chunks, ..
        } = write;
        let (store, shown) = (Arc::clone(self.store), chunks.into_hashes());
        self.transaction
            .after_commit(move || store.chunks.note(&thread_id, view, shown.into_iter()));
    }
}
