//! What the state of its thread means for a put.

use super::delivery::Delivery;
use super::engine::Engine;
use super::look::{LookFor, Seen};
use super::refusal::deleted;
use super::sql::DroppedWrites;
use super::view::View;
use crate::{Error, ExpectedHead, Generation, Put, Result, check};

/// What a look at its thread means for a put.
pub(super) enum Verdict {
    /// It is stored: by an attempt that seemed lost.
    Stored(View),
    /// It is sent, to a thread in this state, or to none.
    Send(Option<View>),
}

impl Engine {
    /// Looks at the thread, in a new statement, and decides.
    pub(super) async fn look_for(
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
    pub(super) fn starts_thread(&self, put: &Put<'_>) -> bool {
        let is_first = put.parent.is_none() && put.checkpoint_ns.is_root();
        (is_first || self.forgets_deleted)
            && put.generation.is_none()
            && !matches!(put.expected_head, ExpectedHead::Is(Some(_)))
    }
}

/// Drops the pending writes to a checkpoint whose put is refused.
pub(super) async fn drop_writes(put: &Put<'_>, delivery: &impl Delivery) -> Result<()> {
    let dropped = DroppedWrites {
        thread_id: put.thread_id.as_str(),
        ns: put.checkpoint_ns.as_str(),
        id: put.checkpoint.id.as_str(),
    };
    delivery.drop_writes(dropped).await
}
