//! Reading the lists that a put appends to, where this program doesn't know them.

use super::delivery::Delivery;
use super::engine::Engine;
use super::lists::Growing;
use super::refusal::deleted;
use super::verdict::{Verdict, drop_writes};
use super::view::View;
use crate::{
    Checkpoint, CheckpointAddress, CheckpointId, Error, GetTuple, Projection, Put, Result,
};

impl Engine {
    /// Reads the lists, and appends to them. Returns the thread's state if the put is stored already.
    pub(super) async fn read_lists(
        &self,
        put: &Put<'_>,
        growing: &mut Growing,
        delivery: &impl Delivery,
    ) -> Result<Option<View>> {
        let parent = match put.parent {
            Some(parent) => read(put, parent, delivery).await?,
            None => None,
        };
        let again = match (&parent, put.parent) {
            (None, Some(_)) => read(put, &put.checkpoint.id, delivery).await?,
            _ => None,
        };
        match put.appended_values(parent.as_ref(), again.as_ref()) {
            Ok(lists) => {
                growing.take_read(lists);
                Ok(None)
            }
            Err(refusal) => {
                let belongs = put.parent.is_none() || parent.is_some() || again.is_some();
                let refused = self.refuse(put, delivery, belongs, refusal);
                refused.await.map(Some)
            }
        }
    }

    /// Refuses a put that can't append, unless it is stored already. What else is against it says more
    /// and comes first, as that it doesn't belong to this generation of the thread.
    async fn refuse(
        &self,
        put: &Put<'_>,
        delivery: &impl Delivery,
        belongs: bool,
        refusal: Error,
    ) -> Result<View> {
        match self.look_for(put, delivery, belongs).await? {
            Verdict::Stored(view) => Ok(view),
            Verdict::Send(Some(view))
                if !belongs
                    && view.generation > 1
                    && put.generation.is_none()
                    && !self.forgets_deleted =>
            {
                drop_writes(put, delivery).await?;
                Err(deleted(put.thread_id))
            }
            Verdict::Send(_) => Err(refusal),
        }
    }
}

/// Reads the channels that the put appends to, of a checkpoint in the put's namespace and generation.
async fn read(
    put: &Put<'_>,
    checkpoint_id: &CheckpointId,
    delivery: &impl Delivery,
) -> Result<Option<Checkpoint>> {
    let address = CheckpointAddress::new(put.thread_id, checkpoint_id)?;
    let channels = Projection::channels(put.appended.keys().copied());
    let query = GetTuple::at(&address)
        .in_ns(&*put.checkpoint_ns)
        .project(channels);
    let found = delivery.read(&query).await?;
    let found = found
        .filter(|found| put.generation.is_none() || found.address.generation == put.generation);
    Ok(found.map(|found| found.checkpoint))
}
