//! Reading one checkpoint.

use db::ToSql;

use super::engine::Engine;
use super::read::only;
use super::standby::Standby;
use crate::{CheckpointId, CheckpointTuple, GetTuple, Projection, Result};

impl Engine {
    pub(super) async fn get_tuple(
        &self,
        query: GetTuple,
        standby: Option<&Standby>,
    ) -> Result<Option<CheckpointTuple>> {
        let only = only(&query.projection);
        let parameters: [&(dyn ToSql + Sync); 5] = [
            /* only */ &only,
            /* state */ &(query.projection != Projection::Metadata),
            /* thread_id */ &query.thread_id.as_str(),
            /* ns */ &query.checkpoint_ns.as_str(),
            /* id */ &query.checkpoint_id.as_ref().map(CheckpointId::as_str),
        ];
        // Which one is the head only the primary knows, and whether there is no such checkpoint.
        let standby = standby.filter(|_| query.checkpoint_id.is_some());
        let from_standby = standby.map(Some).into_iter();
        for from in from_standby.chain([None]) {
            let statement = &self.store.sql.get_tuple;
            let rows = self
                .store
                .read("get a checkpoint", from, statement, &parameters)
                .await?;
            if let Some(tuple) = self.store.tuples(&rows, &query.projection)?.tuples.pop() {
                return Ok(Some(tuple));
            }
        }
        Ok(None)
    }
}
