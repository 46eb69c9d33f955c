//! Pinning checkpoints.

use super::engine::Engine;
use super::sql::PinnedCheckpoint;
use crate::{CheckpointAddress, Error, Result};

impl Engine {
    pub(super) async fn set_pinned(&self, address: &CheckpointAddress, pinned: bool) -> Result<()> {
        // Not before a put of the checkpoint that is under way.
        let _turn = self.order.shared(&address.thread_id).await;
        let checkpoint = PinnedCheckpoint {
            thread_id: address.thread_id.as_str(),
            ns: address.checkpoint_ns.as_str(),
            id: address.checkpoint_id.as_str(),
            generation: address.generation.map(|generation| generation.0),
            pinned,
        };
        let asked = self.store.sql.set_pinned.with(&checkpoint);
        let found = self.store.query_opt("pin a checkpoint", asked).await?;
        match found {
            Some(_) => Ok(()),
            None => Err(Error::checkpoint_not_found(address)),
        }
    }
}
