//! Leases on threads.

use std::time::Duration;

use db::ToSql;
use uuid::Uuid;

use super::engine::Engine;
use super::refusal::{MAX_ROUNDS, busy, lost};
use super::sql::micros;
use crate::{AcquireLease, Error, Lease, Result};

impl Engine {
    pub(super) async fn acquire_lease(&self, acquire: AcquireLease) -> Result<Lease> {
        let thread_id = &acquire.thread_id;
        let token = Uuid::new_v4().to_string();
        for _ in 0..MAX_ROUNDS {
            let parameters: [&(dyn ToSql + Sync); 4] = [
                /* thread_id */ &thread_id.as_str(),
                /* token */ &token,
                /* micros */ &micros(acquire.ttl),
                /* force */ &acquire.force,
            ];
            let statement = &self.store.sql.acquire_lease;
            let row = self
                .store
                .query_opt("acquire a lease", statement, &parameters)
                .await?;
            let Some(row) = row else { continue };
            let until = row.get("lease_until");
            return match row.get("lease_number") {
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
        let parameters: [&(dyn ToSql + Sync); 3] = [
            /* thread_id */ &lease.thread_id.as_str(),
            /* token */ &lease.token,
            /* micros */ &micros(ttl),
        ];
        let statement = &self.store.sql.renew_lease;
        let row = self
            .store
            .query_opt("renew a lease", statement, &parameters)
            .await?;
        let row = row.ok_or_else(|| lost(&lease.thread_id))?;
        Ok(Lease {
            number: row.get("lease_number"),
            until: row.get("lease_until"),
            ..lease.clone()
        })
    }

    pub(super) async fn release_lease(&self, lease: &Lease) -> Result<()> {
        let parameters: [&(dyn ToSql + Sync); 2] = [
            /* thread_id */ &lease.thread_id.as_str(),
            /* token */ &lease.token,
        ];
        let statement = &self.store.sql.release_lease;
        self.store
            .execute("release a lease", statement, &parameters)
            .await
    }
}
