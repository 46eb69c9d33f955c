//! A thread on its way in.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::{End, Header, Step, TaskWrites};
use crate::{
    AcquireLease, ChannelValues, CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer,
    DeleteThread, Error, Generation, Lease, Put, PutWrites, Result, ThreadId,
};

/// How long the thread stays closed to others if this program dies.
const LEASE_TTL: Duration = Duration::from_secs(60);

/// A thread that is imported. It is leased, so that no other program writes to a part of it.
pub(super) struct Incoming<'c> {
    checkpointer: &'c dyn Checkpointer,
    pub(super) thread_id: ThreadId,
    metadata: Map<String, Value>,
    /// The heads that weren't stored yet.
    pub(super) heads: BTreeMap<CheckpointNs, CheckpointId>,
    /// None if the checkpointer has no leases.
    lease: Option<Lease>,
    renewed: Instant,
    /// Once something was put.
    generation: Option<Generation>,
    /// A namespace's head, which is put after its other checkpoints.
    held: Option<Step>,
    /// The values of the last line.
    pub(super) values: ChannelValues,
    pub(super) stored: End,
}

impl<'c> Incoming<'c> {
    pub(super) async fn begin(checkpointer: &'c dyn Checkpointer, header: Header) -> Result<Self> {
        let Header {
            thread_id,
            metadata,
            heads,
        } = header;
        let acquire = AcquireLease::new(&thread_id, LEASE_TTL)?;
        let lease = match checkpointer.acquire_lease(acquire).await {
            Err(Error::Unsupported { .. }) => None,
            lease => Some(lease?),
        };
        let incoming = Self {
            checkpointer,
            thread_id,
            metadata,
            heads,
            lease,
            renewed: Instant::now(),
            generation: None,
            held: None,
            values: ChannelValues::new(),
            stored: End::default(),
        };
        let found = incoming.checkpointer.thread_info(&incoming.thread_id);
        if found.await?.is_some() {
            let exists = Error::thread_exists(&incoming.thread_id);
            incoming.release().await?;
            return Err(exists);
        }
        Ok(incoming)
    }

    /// Renews the lease if a third of its time is over.
    async fn renew_lease(&mut self) -> Result<()> {
        if let Some(lease) = &self.lease
            && self.renewed.elapsed() > LEASE_TTL / 3
        {
            let renewed = Instant::now();
            self.lease = Some(self.checkpointer.renew_lease(lease, LEASE_TTL).await?);
            self.renewed = renewed;
        }
        Ok(())
    }

    /// Stores a checkpoint, unless that is to wait until it can become the head.
    pub(super) async fn take(&mut self, step: Step) -> Result<()> {
        self.values.clone_from(&step.checkpoint.channel_values);
        let ns = &step.checkpoint_ns;
        if self
            .held
            .as_ref()
            .is_some_and(|held| held.checkpoint_ns != *ns)
        {
            self.store_held().await?;
        }
        match self.heads.get(ns) == Some(&step.checkpoint.id) {
            true => {
                self.held = Some(step);
                Ok(())
            }
            false => self.store(step).await,
        }
    }

    /// Stores what is left.
    pub(super) async fn complete(&mut self) -> Result<()> {
        self.store_held().await?;
        if self.stored.checkpoints > 0 && !self.metadata.is_empty() {
            let metadata = std::mem::take(&mut self.metadata);
            let set = self
                .checkpointer
                .set_thread_metadata(&self.thread_id, metadata);
            set.await?;
        }
        Ok(())
    }

    /// Deletes what was stored.
    pub(super) async fn undo(self) -> Result<()> {
        if self.stored.checkpoints > 0 {
            let mut delete = DeleteThread::new(&self.thread_id)?;
            delete.generation = self.generation;
            delete.lease.clone_from(&self.lease);
            self.checkpointer.delete_thread(delete).await?;
        }
        self.release().await
    }

    /// Lets others write.
    pub(super) async fn release(self) -> Result<()> {
        match &self.lease {
            Some(lease) => self.checkpointer.release_lease(lease).await,
            None => Ok(()),
        }
    }

    async fn store_held(&mut self) -> Result<()> {
        match self.held.take() {
            Some(step) => {
                self.heads.remove(&step.checkpoint_ns);
                self.store(step).await
            }
            None => Ok(()),
        }
    }

    async fn store(&mut self, step: Step) -> Result<()> {
        self.renew_lease().await?;
        let checkpoint = &step.checkpoint;
        // With all its values, and all channels named as changed, it needs no parent.
        let mut put = Put::new(&self.thread_id, checkpoint, &step.metadata)
            .in_ns(&step.checkpoint_ns)
            .new_versions(&checkpoint.channel_versions);
        put.parent = step.parent.as_ref();
        put.generation = self.generation;
        put.lease = self.lease.as_ref();
        let address = self.checkpointer.put(put).await?;
        self.generation = address.generation;
        self.stored.checkpoints += 1;
        self.store_writes(&address, &step.writes).await?;
        if step.pinned {
            self.checkpointer.set_pinned(&address, true).await?;
        }
        Ok(())
    }

    async fn store_writes(
        &mut self,
        address: &CheckpointAddress,
        calls: &[TaskWrites],
    ) -> Result<()> {
        for call in calls {
            let mut put = PutWrites::new(address, &call.task_id, &call.writes);
            put.task_path = &call.task_path;
            put.lease = self.lease.as_ref();
            self.checkpointer.put_writes(put).await?;
            self.stored.writes += call.writes.len() as u64;
        }
        Ok(())
    }
}
