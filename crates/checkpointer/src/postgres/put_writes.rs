//! Storing the outputs of a task.

use super::basis::Basis;
use super::call::Call;
use super::cut::Cut;
use super::delivery::Delivery;
use super::encode::Encoder;
use super::engine::Engine;
use super::lists::Growing;
use super::look::{Look, LookFor};
use super::outgoing::{Body, EncodedWrites, Generations, Outgoing, Sent};
use super::refusal::{MAX_ROUNDS, busy, deleted, undecided};
use super::view::View;
use crate::codec::ContentHash;
use crate::writes::{self, Numbered};
use crate::{Generation, OpenTransaction, PutWrites, Result};

impl Engine {
    pub(super) async fn put_writes(&self, put: PutWrites<'_>) -> Result<()> {
        put.check()?;
        let turn = self.order.shared(&put.address.thread_id);
        let delivered = self.deliver_writes(&put, &self.lanes, turn).await;
        let undecided = |error| undecided(Call::current().as_ref(), "put pending writes", error);
        delivered.map_err(undecided)
    }

    /// Puts a task's writes within a transaction of the caller's.
    pub(super) async fn put_writes_within(
        &self,
        transaction: OpenTransaction<'_>,
        put: PutWrites<'_>,
    ) -> Result<()> {
        put.check()?;
        let within = self.within(transaction)?;
        self.deliver_writes(&put, &within, std::future::ready(()))
            .await
    }

    async fn deliver_writes<D: Delivery>(
        &self,
        put: &PutWrites<'_>,
        delivery: &D,
        turn: impl Future<Output = D::Turn>,
    ) -> Result<()> {
        let (thread_id, generation) = (&put.address.thread_id, put.address.generation);
        let writes = writes::number(put.writes);
        let cuts: Vec<_> = writes
            .iter()
            .map(|write| Cut::of_write(write.value))
            .collect();
        let mut turn = turn.await;
        let mut known = self.remembered(thread_id, generation);
        if known.is_none() && generation.is_none() {
            known = Some(Basis::Nothing);
        }
        for round in 0..MAX_ROUNDS {
            let basis = match known.take() {
                Some(basis) => basis,
                None => Basis::looked(self.look_for_writes(put, delivery).await?, round > 0),
            };
            let outgoing = self.encode_writes(put, &writes, &cuts, basis)?;
            turn = match delivery.send(outgoing, turn).await? {
                Sent::Stored(_) => return Ok(()),
                Sent::NotStored(_, (turn, _)) => turn,
            };
        }
        Err(busy(thread_id))
    }

    fn encode_writes(
        &self,
        put: &PutWrites<'_>,
        writes: &[Numbered<'_>],
        cuts: &[Option<Cut>],
        basis: Basis,
    ) -> Result<Outgoing> {
        let address = put.address;
        let is_stored = |hash: &ContentHash| basis.has(&self.store, &address.thread_id, hash);
        let mut encoder = Encoder::new(&address.thread_id, &is_stored);
        let mut values = Vec::with_capacity(writes.len());
        for (write, cut) in writes.iter().zip(cuts) {
            let mut value = Vec::new();
            let place = format!("the write to channel `{}`", write.channel);
            encoder.value(write.value, cut.as_ref(), &place, &mut value)?;
            values.push(value);
        }
        Ok(Outgoing {
            thread_id: address.thread_id.clone(),
            lease: put.lease.map(|lease| lease.token.clone()),
            // Writes that come before their checkpoint stay invisible until it comes, so a thread
            // that was started again will do.
            lock: basis.lock(match self.forgets_deleted {
                true => Generations::CurrentOrNew,
                false => Generations::Current,
            }),
            chunks: encoder.into_chunks(),
            growing: Growing::default(),
            body: Body::Writes(EncodedWrites {
                ns: address.checkpoint_ns.clone(),
                id: address.checkpoint_id.clone(),
                task_id: put.task_id.clone(),
                task_path: put.task_path.to_owned(),
                indexes: writes.iter().map(|write| write.idx).collect(),
                channels: writes
                    .iter()
                    .map(|write| write.channel.to_owned())
                    .collect(),
                values,
            }),
        })
    }

    /// Looks at the thread: its state, or none if there is no such thread yet.
    async fn look_for_writes(
        &self,
        put: &PutWrites<'_>,
        delivery: &impl Delivery,
    ) -> Result<Option<View>> {
        let address = put.address;
        let asked = LookFor {
            thread_id: &address.thread_id,
            checkpoint_ns: &address.checkpoint_ns,
            checkpoint_id: &address.checkpoint_id,
            parent: None,
            lease: put.lease,
        };
        let Look { thread, refusal } = delivery.look(asked).await?;
        if let Some(refusal) = refusal {
            return Err(refusal);
        }
        let read = address.generation;
        match thread {
            Some(seen) => {
                if seen.deleted && read.is_none() && self.forgets_deleted {
                    return Ok(None);
                }
                let is_another = |Generation(read)| read != seen.view.generation;
                match seen.deleted || read.is_some_and(is_another) {
                    true => Err(deleted(&address.thread_id)),
                    false => Ok(Some(seen.view)),
                }
            }
            None if read.is_some() => Err(deleted(&address.thread_id)),
            None => Ok(None),
        }
    }
}
