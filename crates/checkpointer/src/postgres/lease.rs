//! Leases on threads.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use db::Row;
use uuid::Uuid;

use super::engine::Engine;
use super::refusal::{MAX_ROUNDS, busy, lost};
use super::sql::{self, micros};
use crate::{AcquireLease, Error, Lease, Result};

/// The lease that a thread has.
struct Answer {
    /// None if it is another client's.
    number: Option<i64>,
    until: SystemTime,
}

impl Answer {
    fn read(row: &Row) -> Self {
        Self {
            number: row.get("lease_number"),
            until: row.get("lease_until"),
        }
    }
}

impl Engine {
    pub(super) async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        let thread_id = &acquire.thread_id;
        let token = Uuid::new_v4().to_string();
        let lease = sql::AcquireLease {
            thread_id: thread_id.as_str(),
            token: &token,
            micros: micros(acquire.ttl),
            force: acquire.force,
        };
        for _ in 0..MAX_ROUNDS {
            let asked = self.store.sql.acquire_lease.with(&lease);
            let row = self.store.query_opt("acquire a lease", asked).await?;
            let Some(Answer { number, until }) = row.as_ref().map(Answer::read) else {
                continue;
            };
            return match number {
                Some(number) => Lease::new(thread_id, number, token, until),
                None => Err(Error::LeaseHeld {
                    thread_id: thread_id.clone(),
                    until,
                }),
            };
        }
        Err(busy(thread_id))
    }

    pub(super) async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let renewed = sql::RenewLease {
            thread_id: lease.thread_id.as_str(),
            token: &lease.token,
            micros: micros(ttl),
        };
        let asked = self.store.sql.renew_lease.with(&renewed);
        let row = self.store.query_opt("renew a lease", asked).await?;
        let Some(Answer { number, until }) = row.as_ref().map(Answer::read) else {
            return Err(lost(&lease.thread_id));
        };
        Ok(Lease {
            number: number.unwrap_or(lease.number),
            until,
            ..lease.clone()
        })
    }

    /// Goes on if its caller is gone, as that of a guard that is dropped.
    pub(super) async fn release_lease(self: &Arc<Self>, lease: &Lease) -> Result<()> {
        let (engine, lease) = (Arc::clone(self), lease.clone());
        self.finish(async move { engine.release(&lease).await })
            .await
    }

    async fn release(&self, lease: &Lease) -> Result<()> {
        let released = sql::ReleaseLease {
            thread_id: lease.thread_id.as_str(),
            token: &lease.token,
        };
        let asked = self.store.sql.release_lease.with(&released);
        self.store.execute("release a lease", asked).await
    }
}
