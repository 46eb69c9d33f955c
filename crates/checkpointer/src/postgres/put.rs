//! Storing a checkpoint.

use db::Transaction;

use super::basis::Basis;
use super::delivery::Delivery;
use super::encode::Encoder;
use super::engine::Engine;
use super::last_values::Cuts;
use super::look::{LookFor, Seen};
use super::outgoing::{Body, EncodedCheckpoint, Generations, Outgoing, Sent, Why};
use super::refusal::{MAX_ROUNDS, busy, deleted};
use super::sql::DroppedWrites;
use super::thread_metadata::Changes;
use super::view::View;
use crate::codec::ContentHash;
use crate::{
    ChannelVersions, CheckpointAddress, CheckpointNs, Error, ExpectedHead, Generation,
    OpenTransaction, Put, Result, check,
};

/// What a look at its thread means for a put.
enum Verdict {
    /// It is stored: by an attempt that seemed lost.
    Stored(View),
    /// It is sent, to a thread in this state, or to none.
    Send(Option<View>),
}

impl Engine {
    pub(super) async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        if put.thread_metadata.is_some() {
            return self.put_with_metadata(put).await;
        }
        put.check()?;
        // Cut before the turn is waited for: this is the expensive part.
        let cuts = self.cuts(&put);
        let turn = self.order.alone(put.thread_id).await;
        self.deliver(&put, &cuts, &self.lanes, turn).await
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
        let cuts = self.cuts(&put);
        let within = self.within(transaction)?;
        if changes.is_some() {
            within.lock_for_metadata(put.thread_id).await?;
        }
        let address = self.deliver(&put, &cuts, &within, ()).await?;
        if let Some(changes) = &changes {
            within
                .update_thread_metadata(put.thread_id, changes)
                .await?;
        }
        Ok(address)
    }

    /// Puts a checkpoint and changes the thread's metadata, in a transaction of its own. It shares
    /// no statement with other writes.
    async fn put_with_metadata(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        let _turn = self.order.alone(put.thread_id).await;
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

    async fn deliver<D: Delivery>(
        &self,
        put: &Put<'_>,
        cuts: &Cuts<'_>,
        delivery: &D,
        mut turn: D::Turn,
    ) -> Result<CheckpointAddress> {
        let mut known = self.remembered(put.thread_id, put.generation);
        if known.is_none() && !needs_view(put) {
            known = Some(Basis::Nothing);
        }
        let mut met_another_head = false;
        for round in 0..MAX_ROUNDS {
            let basis = match known.take() {
                Some(basis) => basis,
                None => match self.look_for(put, delivery, met_another_head).await? {
                    Verdict::Stored(view) => return Ok(stored_as(put, view)),
                    Verdict::Send(view) => Basis::looked(view, round > 0),
                },
            };
            let outgoing = self.encode(put, cuts, basis)?;
            turn = match delivery.send(outgoing, turn).await? {
                Sent::Stored(view) => return Ok(stored_as(put, view)),
                Sent::NotStored(Why::NotThisGeneration, _turn) => {
                    drop_writes(put, delivery).await?;
                    return Err(deleted(put.thread_id));
                }
                Sent::NotStored(why @ (Why::NotTheHead | Why::Changed), turn) => {
                    met_another_head = matches!(why, Why::NotTheHead);
                    turn
                }
            };
        }
        Err(busy(put.thread_id))
    }

    fn encode(&self, put: &Put<'_>, cuts: &Cuts<'_>, basis: Basis) -> Result<Outgoing> {
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
        let checkpoint = EncodedCheckpoint {
            ns: put.checkpoint_ns.clone().into_owned(),
            id: put.checkpoint.id.clone(),
            parent: put.parent.cloned(),
            expected: put.expected_head.clone(),
            appends: required.is_none() && unchanged.is_empty() && appends(put, basis),
            required,
            channels: encoder.channels(&put.checkpoint.channel_values, cuts.iter())?,
            checkpoint: encoder.checkpoint(put.checkpoint)?,
            unchanged: encoder.versions(&unchanged)?,
            needs_parent: put.needs_parent(),
            metadata: encoder.object(put.metadata.as_map(), "the metadata")?,
        };
        Ok(Outgoing {
            thread_id: put.thread_id.clone(),
            lease: put.lease.map(|lease| lease.token.clone()),
            lock: basis.lock(match self.starts_thread(put) {
                true => Generations::CurrentOrNew,
                false => Generations::First,
            }),
            chunks: encoder.into_chunks(),
            body: Body::Checkpoint(checkpoint),
        })
    }

    /// Looks at the thread, in a new statement, and decides.
    async fn look_for(
        &self,
        put: &Put<'_>,
        delivery: &impl Delivery,
        met_another_head: bool,
    ) -> Result<Verdict> {
        let asked = LookFor {
            thread_id: put.thread_id,
            checkpoint_ns: &put.checkpoint_ns,
            checkpoint_id: &put.checkpoint.id,
            parent: put.parent,
            lease: put.lease,
        };
        let look = delivery.look(asked).await?;
        match (
            self.decide(put, look.thread, met_another_head),
            look.refusal,
        ) {
            // What was stored before the lease was lost is stored.
            (Err(_) | Ok(Verdict::Send(_)), Some(refusal)) => Err(refusal),
            (verdict, _) => verdict,
        }
    }

    /// What a put does, by what its thread looks like.
    fn decide(&self, put: &Put<'_>, seen: Option<Seen>, met_another_head: bool) -> Result<Verdict> {
        // On a thread that was started again, the put itself finds out whether it belongs there.
        let is_asked = |seen: &Seen| {
            seen.view.generation > 1 && put.generation.is_none() && !self.forgets_deleted
        };
        let head = match &seen {
            Some(seen) if seen.deleted && !self.starts_thread(put) => {
                return Err(deleted(put.thread_id));
            }
            Some(seen) if seen.deleted => {
                check::parent(put, false)?;
                return Ok(Verdict::Send(None));
            }
            Some(seen) => {
                let generation = Generation(seen.view.generation);
                if put.generation.is_some_and(|read| read != generation) {
                    return Err(deleted(put.thread_id));
                }
                seen.head.as_ref()
            }
            None if put.generation.is_some() => return Err(deleted(put.thread_id)),
            None => None,
        };
        match &put.expected_head {
            ExpectedHead::Is(expected) if expected.as_ref() != head => match &seen {
                Some(seen) if seen.stored => Ok(Verdict::Stored(seen.view)),
                // That it doesn't belong there says more than that the head is another.
                Some(seen) if is_asked(seen) && !met_another_head => {
                    Ok(Verdict::Send(Some(seen.view)))
                }
                _ => Err(Error::Conflict {
                    thread_id: put.thread_id.clone(),
                    checkpoint_ns: put.checkpoint_ns.clone().into_owned(),
                    expected: expected.clone(),
                    head: head.cloned(),
                }),
            },
            _ => {
                let inherits = seen
                    .as_ref()
                    .is_some_and(|seen| seen.inherits || is_asked(seen));
                check::parent(put, inherits)?;
                Ok(Verdict::Send(seen.map(|seen| seen.view)))
            }
        }
    }

    /// Whether the put starts a thread, again if it was deleted.
    fn starts_thread(&self, put: &Put<'_>) -> bool {
        let is_first = put.parent.is_none() && put.checkpoint_ns.is_root();
        (is_first || self.forgets_deleted)
            && put.generation.is_none()
            && !matches!(put.expected_head, ExpectedHead::Is(Some(_)))
    }
}

/// Drops the pending writes to a checkpoint whose put is refused.
async fn drop_writes(put: &Put<'_>, delivery: &impl Delivery) -> Result<()> {
    let dropped = DroppedWrites {
        thread_id: put.thread_id.as_str(),
        ns: put.checkpoint_ns.as_str(),
        id: put.checkpoint.id.as_str(),
    };
    delivery.drop_writes(dropped).await
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
/// or is refused without its parent.
fn needs_view(put: &Put<'_>) -> bool {
    put.generation.is_some()
        || matches!(put.expected_head, ExpectedHead::Is(Some(_)))
        || put.needs_parent()
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
