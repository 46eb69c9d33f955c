//! Reading one checkpoint.

use super::read::Read;
use super::sql::{OneCheckpoint, Only};
use super::standby::Standby;
use super::store::Store;
use super::within::Within;
use crate::{CheckpointId, CheckpointTuple, GetTuple, Result};

/// What it is called in errors.
const OPERATION: &str = "get a checkpoint";

impl Store {
    pub(super) async fn get_tuple(
        &self,
        query: &GetTuple,
        standby: Option<&Standby>,
    ) -> Result<Option<CheckpointTuple>> {
        let only = Only::of(&query.projection);
        let one = OneCheckpoint::of(query);
        // Which one is the head only the primary knows, and whether there is no such checkpoint.
        let standby = standby.filter(|_| query.checkpoint_id.is_some());
        let from_standby = standby.map(Some).into_iter();
        for from in from_standby.chain([None]) {
            let asked = self.sql.get_tuple.with((&only, &one));
            let rows = self.read(OPERATION, from, asked).await?;
            if let Some(tuple) = self.tuples(&rows, &query.projection)?.tuples.pop() {
                return Ok(Some(tuple));
            }
        }
        Ok(None)
    }
}

impl Within<'_> {
    /// Reads within a transaction of the caller's, what that has put included.
    pub(super) async fn get_tuple(&self, query: &GetTuple) -> Result<Option<CheckpointTuple>> {
        let only = Only::of(&query.projection);
        let one = OneCheckpoint::of(query);
        let asked = self.store.sql.get_tuple.with((&only, &one));
        let rows = self.query(OPERATION, asked).await?;
        Ok(Read::of(&rows, &query.projection, |_, _, _| {})?
            .tuples
            .pop())
    }
}

impl<'a> OneCheckpoint<'a> {
    fn of(query: &'a GetTuple) -> Self {
        Self {
            thread_id: query.thread_id.as_str(),
            ns: query.checkpoint_ns.as_str(),
            id: query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        }
    }
}
