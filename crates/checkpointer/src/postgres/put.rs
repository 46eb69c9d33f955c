//! Storing a checkpoint.

use std::sync::Arc;

use db::Transaction;
use tokio::sync::oneshot;

use super::basis::Basis;
use super::call::Call;
use super::cut::List;
use super::delivery::Delivery;
use super::encode::Encoder;
use super::engine::Engine;
use super::last_values::Cuts;
use super::lists::Growing;
use super::outgoing::{Body, EncodedCheckpoint, Generations, Outgoing, Sent, Why};
use super::owned_put::OwnedPut;
use super::refusal::{MAX_ROUNDS, busy, deleted, undecided};
use super::thread_metadata::Changes;
use super::verdict::{Verdict, drop_writes};
use super::view::View;
use crate::codec::ContentHash;
use crate::{
    ChannelVersions, CheckpointAddress, CheckpointNs, Error, ExpectedHead, Generation,
    OpenTransaction, Put, Result,
};

/// What a put stores of the values of its channels.
#[derive(Debug)]
struct Values<'m> {
    /// Those that it brings as a whole, cut.
    cuts: Cuts<'m>,
    /// The lists that it appends to.
    growing: Growing,
}

impl Values<'_> {
    /// Adds the whole lists to which further puts append.
    fn add_growing(&mut self, put: &Put<'_>) {
        let whole = put.checkpoint.channel_values.iter().zip(self.cuts.iter());
        let whole = whole.filter(|((channel, _), _)| put.growing.contains(channel.as_str()));
        self.growing
            .add(whole.filter_map(|((channel, value), cut)| {
                let list = List::of_stored(value, cut)?;
                Some((channel.clone(), list))
            }));
    }
}

impl Engine {
    pub(super) async fn put(self: &Arc<Self>, put: Put<'_>) -> Result<CheckpointAddress> {
        if put.thread_metadata.is_some() {
            return self.put_with_metadata(&put).await;
        }
        put.check()?;
        // Cut before the turn is waited for: this is the expensive part.
        let cuts = self.cuts(&put);
        let turn = self.order.alone(put.thread_id).await;
        let mut values = self.values(&put, cuts);
        values.add_growing(&put);
        let delivered = self.deliver(&put, &mut values, &self.lanes, turn).await;
        let undecided = |error| undecided(Call::current().as_ref(), "put a checkpoint", error);
        let view = delivered.map_err(undecided)?;
        Ok(stored_as(&put, view))
    }

    /// Puts within a transaction of the caller's.
    pub(super) async fn put_within(
        &self,
        transaction: OpenTransaction<'_>,
        put: Put<'_>,
    ) -> Result<CheckpointAddress> {
        put.check()?;
        let changes = put.thread_metadata;
        let changes = changes.map(|changes| Changes::of(put.thread_id, changes));
        let changes = changes.transpose()?;
        let mut values = self.values(&put, self.cuts(&put));
        let within = self.within(transaction)?;
        if changes.is_some() {
            within.lock_for_metadata(put.thread_id).await?;
        }
        let view = self.deliver(&put, &mut values, &within, ()).await?;
        if let Some(changes) = &changes {
            within
                .update_thread_metadata(put.thread_id, changes)
                .await?;
        }
        Ok(stored_as(&put, view))
    }

    /// Puts a checkpoint and changes the thread's metadata, in a transaction of its own. It shares
    /// no statement with other writes.
    async fn put_with_metadata(self: &Arc<Self>, put: &Put<'_>) -> Result<CheckpointAddress> {
        let turn = self.order.alone(put.thread_id).await;
        let (engine, put) = (Arc::clone(self), OwnedPut::of(put));
        let (caller, _waits) = oneshot::channel::<()>();
        self.finish(async move {
            let outcome = engine.put_in_transaction(&put.request()).await;
            drop(turn);
            match outcome {
                // Nobody hears what is returned.
                Err(error) if caller.is_closed() => {
                    engine.lanes.report(error);
                    Err(Error::Closed)
                }
                outcome => outcome,
            }
        })
        .await
    }

    async fn put_in_transaction(&self, put: &Put<'_>) -> Result<CheckpointAddress> {
        let attempt = || async {
            let put = async |tx: &Transaction<'_>| match self
                .put_within(OpenTransaction::from(tx), put.clone())
                .await
            {
                Err(Error::Database { source, .. }) => Err(source),
                outcome => Ok(outcome),
            };
            self.store.database.transaction(put).await
        };
        self.store.retry("put a checkpoint", attempt).await?
    }

    fn cuts(&self, put: &Put<'_>) -> Cuts<'_> {
        let values = &put.checkpoint.channel_values;
        self.last_values
            .cut(put.thread_id, &put.checkpoint_ns, values)
    }

    /// Takes what is known of the lists, in the put's turn.
    fn values<'m>(&'m self, put: &Put<'_>, cuts: Cuts<'m>) -> Values<'m> {
        let growing = self.store.lists.take(put);
        Values { cuts, growing }
    }

    async fn deliver<D: Delivery>(
        &self,
        put: &Put<'_>,
        values: &mut Values<'_>,
        delivery: &D,
        mut turn: D::Turn,
    ) -> Result<View> {
        if values.growing.appended().is_none()
            && let Some(view) = self.read_lists(put, &mut values.growing, delivery).await?
        {
            return Ok(view);
        }
        let mut known = self.remembered(put.thread_id, put.generation);
        if known.is_none() && !needs_view(put) {
            known = Some(Basis::Nothing);
        }
        let mut met_another_head = false;
        for round in 0..MAX_ROUNDS {
            let basis = match known.take() {
                Some(basis) => basis,
                None => match self.look_for(put, delivery, met_another_head).await? {
                    Verdict::Stored(view) => return Ok(view),
                    Verdict::Send(view) => Basis::looked(view, round > 0),
                },
            };
            let mut outgoing = match self.encode(put, values, basis)? {
                Some(outgoing) => outgoing,
                None => match self.read_lists(put, &mut values.growing, delivery).await? {
                    Some(view) => return Ok(view),
                    None => {
                        (self.encode(put, values, basis)?).ok_or_else(|| busy(put.thread_id))?
                    }
                },
            };
            outgoing.growing = std::mem::take(&mut values.growing);
            turn = match delivery.send(outgoing, turn).await? {
                Sent::Stored(view) => return Ok(view),
                Sent::NotStored(Why::NotThisGeneration, _turn) => {
                    drop_writes(put, delivery).await?;
                    return Err(deleted(put.thread_id));
                }
                Sent::NotStored(why @ (Why::NotTheHead | Why::Changed), (turn, growing)) => {
                    met_another_head = matches!(why, Why::NotTheHead);
                    values.growing = growing;
                    turn
                }
            };
        }
        Err(busy(put.thread_id))
    }

    /// Encodes a put; none if it would have to send a part of a list that isn't at hand.
    fn encode(&self, put: &Put<'_>, values: &Values<'_>, basis: Basis) -> Result<Option<Outgoing>> {
        let Some(lists) = values.growing.appended() else {
            return Ok(None);
        };
        let is_stored = |hash: &ContentHash| basis.has(&self.store, put.thread_id, hash);
        let mut encoder = Encoder::new(put.thread_id, &is_stored);
        let unchanged: ChannelVersions = put
            .unchanged()
            .map(|(channel, version)| (channel.clone(), version.clone()))
            .collect();
        let required = match self.forgets_deleted {
            true => None,
            false => required(put, basis),
        };
        let whole = &put.checkpoint.channel_values;
        let channels = encoder.channels(whole, values.cuts.iter(), lists)?;
        if encoder.lacks {
            return Ok(None);
        }
        let checkpoint = EncodedCheckpoint {
            ns: put.checkpoint_ns.clone().into_owned(),
            id: put.checkpoint.id.clone(),
            parent: put.parent.cloned(),
            expected: put.expected_head.clone(),
            appends: required.is_none() && unchanged.is_empty() && appends(put, basis),
            required,
            channels,
            checkpoint: encoder.checkpoint(put.checkpoint)?,
            unchanged: encoder.versions(&unchanged)?,
            needs_parent: put.needs_parent(),
            metadata: encoder.object(put.metadata.as_map(), "the metadata")?,
        };
        Ok(Some(Outgoing {
            thread_id: put.thread_id.clone(),
            lease: put.lease.map(|lease| lease.token.clone()),
            lock: basis.lock(match self.starts_thread(put) {
                true => Generations::CurrentOrNew,
                false => Generations::First,
            }),
            chunks: encoder.into_chunks(),
            body: Body::Checkpoint(checkpoint),
            growing: Growing::default(),
        }))
    }
}

/// Whether the checkpoint is taken to be new, and its namespace to have a head.
fn appends(put: &Put<'_>, basis: Basis) -> bool {
    let is_first_attempt = match basis {
        Basis::Remembered(_) => true,
        Basis::Looked { again, .. } => !again,
        Basis::Nothing => false,
    };
    is_first_attempt && put.parent.is_some() && !matches!(put.expected_head, ExpectedHead::Is(None))
}

/// Whether the put can't be sent without knowing its thread's state: it must not make the thread,
/// or takes values from its parent, whose chunks must be there under the lock.
fn needs_view(put: &Put<'_>) -> bool {
    put.generation.is_some()
        || matches!(put.expected_head, ExpectedHead::Is(Some(_)))
        || put.takes_from_parent()
}

/// The checkpoint that shows that a put without a generation belongs to the current generation of
/// a thread that was started again: its parent, or the root of a subgraph's first checkpoint. If
/// the put names none, no checkpoint will do.
fn required(put: &Put<'_>, basis: Basis) -> Option<(CheckpointNs, String)> {
    if put.generation.is_some() || basis.view()?.generation == 1 {
        return None;
    }
    let root = CheckpointNs::ROOT;
    match put.parent {
        Some(parent) => {
            let ns = put.checkpoint_ns.clone().into_owned();
            Some((ns, parent.as_str().to_owned()))
        }
        None if put.checkpoint_ns.is_root() => None,
        None => {
            let id = put.metadata.parent_in(root.as_str()).unwrap_or_default();
            Some((root, id.to_owned()))
        }
    }
}

fn stored_as(put: &Put<'_>, view: View) -> CheckpointAddress {
    CheckpointAddress {
        thread_id: put.thread_id.clone(),
        checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
        checkpoint_id: put.checkpoint.id.clone(),
        generation: Some(Generation(view.generation)),
    }
}
