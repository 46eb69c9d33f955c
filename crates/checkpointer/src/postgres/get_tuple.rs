//! Reading one checkpoint.

use super::engine::Engine;
use super::sql::{OneCheckpoint, Only};
use super::standby::Standby;
use crate::{CheckpointId, CheckpointTuple, GetTuple, Result};

impl Engine {
    pub(super) async fn get_tuple(
        &self,
        query: GetTuple,
        standby: Option<&Standby>,
    ) -> Result<Option<CheckpointTuple>> {
        let only = Only::of(&query.projection);
        let one = OneCheckpoint {
            thread_id: query.thread_id.as_str(),
            ns: query.checkpoint_ns.as_str(),
            id: query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        };
        // Which one is the head only the primary knows, and whether there is no such checkpoint.
        let standby = standby.filter(|_| query.checkpoint_id.is_some());
        let from_standby = standby.map(Some).into_iter();
        for from in from_standby.chain([None]) {
            let asked = self.store.sql.get_tuple.with((&only, &one));
            let rows = self.store.read("get a checkpoint", from, asked).await?;
            if let Some(tuple) = self.store.tuples(&rows, &query.projection)?.tuples.pop() {
                return Ok(Some(tuple));
            }
        }
        Ok(None)
    }
}
