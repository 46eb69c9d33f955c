//! The lease of a thread.

use std::time::{Duration, SystemTime};

use uuid::Uuid;

use crate::lease::MAX_TTL;
use crate::{Error, Lease, Result, ThreadId};

/// What the store knows of a thread's leases. It outlives the thread.
#[derive(Clone, Default)]
pub(super) struct Leased {
    /// Of the lease that was taken last.
    number: i64,
    /// Its token, and until when others are kept out; none once it was released.
    held: Option<(String, SystemTime)>,
}

impl Leased {
    /// Refuses a write, by the lease that it carries.
    pub(super) fn admit(
        &self,
        thread_id: &ThreadId,
        carried: Option<&Lease>,
        now: SystemTime,
    ) -> Result<()> {
        match (&self.held, carried) {
            (Some((token, _)), Some(carried)) if *token == carried.token => Ok(()),
            (_, Some(_)) => Err(Error::lease_lost(thread_id)),
            (Some((_, until)), None) if *until > now => Err(Error::lease_held(thread_id, *until)),
            (_, None) => Ok(()),
        }
    }

    pub(super) fn acquire(&mut self, thread_id: ThreadId, ttl: Duration, now: SystemTime) -> Lease {
        let token = Uuid::new_v4().to_string();
        let until = now + ttl.min(MAX_TTL);
        self.number += 1;
        self.held = Some((token.clone(), until));
        Lease {
            thread_id,
            number: self.number,
            token,
            until,
        }
    }

    pub(super) fn renew(&mut self, lease: &Lease, ttl: Duration, now: SystemTime) -> Result<Lease> {
        self.admit(&lease.thread_id, Some(lease), now)?;
        let until = now + ttl.min(MAX_TTL);
        self.held = Some((lease.token.clone(), until));
        Ok(Lease {
            until,
            ..lease.clone()
        })
    }

    pub(super) fn release(&mut self, lease: &Lease) {
        self.held.take_if(|(token, _)| *token == lease.token);
    }
}
