//! Leases on threads.

use std::time::Duration;

use db::Row;
use uuid::Uuid;

use super::put::MAX_ROUNDS;
use super::retry::retry;
use super::{Inner, micros};
use crate::{AcquireLease, Error, Lease, Result, ThreadId};

impl Inner {
    pub(super) async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        let thread_id = &acquire.thread_id;
        let token = Uuid::new_v4().to_string();
        for _ in 0..MAX_ROUNDS {
            let row = retry(self, "acquire a lease", || async {
                let connection = self.database.get().await?;
                connection
                    .query_opt(
                        &self.sql.acquire_lease,
                        &[
                            /* thread_id */ &thread_id.as_str(),
                            /* token */ &token,
                            /* micros */ &micros(acquire.ttl),
                            /* force */ &acquire.force,
                        ],
                    )
                    .await
            })
            .await?;
            let Some(row) = row else { continue };
            let until = row.get("lease_until");
            return match row.get("lease_number") {
                Some(number) => Ok(Lease::new(thread_id.clone(), number, token, until)),
                None => Err(Error::LeaseHeld {
                    thread_id: thread_id.clone(),
                    until,
                }),
            };
        }
        Err(Error::Busy {
            thread_id: thread_id.clone(),
        })
    }

    pub(super) async fn renew_lease(&self, lease: &Lease, ttl: Duration) -> Result<Lease> {
        let row = retry(self, "renew a lease", || async {
            let connection = self.database.get().await?;
            connection
                .query_opt(
                    &self.sql.renew_lease,
                    &[
                        /* thread_id */ &lease.thread_id.as_str(),
                        /* token */ &lease.token,
                        /* micros */ &micros(ttl),
                    ],
                )
                .await
        })
        .await?;
        let row = row.ok_or_else(|| lost(&lease.thread_id))?;
        Ok(Lease {
            number: row.get("lease_number"),
            until: row.get("lease_until"),
            ..lease.clone()
        })
    }

    pub(super) async fn release_lease(&self, lease: &Lease) -> Result<()> {
        retry(self, "release a lease", || async {
            let connection = self.database.get().await?;
            connection
                .execute(
                    &self.sql.release_lease,
                    &[
                        /* thread_id */ &lease.thread_id.as_str(),
                        /* token */ &lease.token,
                    ],
                )
                .await
        })
        .await?;
        Ok(())
    }
}

/// Why a write isn't admitted, by the lease it carries and the one that its thread has.
pub(super) fn refusal(thread_id: &ThreadId, carries_lease: bool, thread: &Row) -> Option<Error> {
    if thread.get("admitted") {
        return None;
    }
    Some(match carries_lease {
        true => lost(thread_id),
        false => Error::LeaseHeld {
            thread_id: thread_id.clone(),
            until: thread.get("lease_until"),
        },
    })
}

pub(super) fn lost(thread_id: &ThreadId) -> Error {
    Error::LeaseLost {
        thread_id: thread_id.clone(),
    }
}
