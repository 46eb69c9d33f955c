//! Acquiring, renewing and releasing leases.
//!
//! A lease is in the row of its thread. Every write locks that row first, so the lease that admits
//! it is read under the lock, as it is after any wait for the lock.
//!
//! A lease on a thread that doesn't exist has a row that reserves the thread's place. It is no
//! thread: its generation is the first, and it is deleted, since its last lease was acquired or
//! released.

use super::parameters::parameters;
use super::template::Template;

parameters! {
    /// A lease to acquire.
    struct AcquireLease<'a> {
        thread_id: &'a str,
        token: &'a str,
        micros: i64,
        force: bool,
    }
}

parameters! {
    /// A lease to renew.
    struct RenewLease<'a> {
        thread_id: &'a str,
        token: &'a str,
        micros: i64,
    }
}

parameters! {
    /// A lease to release.
    struct ReleaseLease<'a> {
        thread_id: &'a str,
        token: &'a str,
    }
}

/// Acquires a lease, or says until when another client has it. No row: it has changed hands
/// meanwhile.
///
/// `excluded.deleted_at` is the time. An attempt that seemed lost finds its own token.
pub(super) const ACQUIRE_LEASE: Template<AcquireLease<'static>> =
    Template::new(&["-- checkpointer::acquire_lease
WITH acquired AS (
    INSERT INTO {schema}.threads AS t
        (thread_id, deleted_at, lease_number, lease_token, lease_until)
    VALUES ({thread_id}, now(), 1, {token}, now() + {micros} * interval '1 microsecond')
    ON CONFLICT (thread_id) DO UPDATE
    SET lease_number = CASE WHEN t.lease_token = excluded.lease_token THEN t.lease_number
            ELSE t.lease_number + 1 END,
        lease_token = excluded.lease_token, lease_until = excluded.lease_until,
        deleted_at = CASE WHEN t.deleted_at IS NOT NULL AND t.generation = 1 THEN excluded.deleted_at
            ELSE t.deleted_at END
    WHERE {force} OR t.lease_token IS NULL OR t.lease_until <= excluded.deleted_at
       OR t.lease_token = excluded.lease_token
    RETURNING lease_number, lease_until
)
SELECT lease_number, lease_until FROM acquired
UNION ALL
SELECT NULL, lease_until FROM {schema}.threads
WHERE thread_id = {thread_id} AND lease_until > now() AND NOT EXISTS (SELECT FROM acquired)"]);

/// Lets a lease last longer, if it is still the thread's.
pub(super) const RENEW_LEASE: Template<RenewLease<'static>> =
    Template::new(&["-- checkpointer::renew_lease
UPDATE {schema}.threads SET lease_until = now() + {micros} * interval '1 microsecond'
WHERE thread_id = {thread_id} AND lease_token = {token}
RETURNING lease_number, lease_until"]);

/// Releases a lease, if it is still the thread's. A thread's place is kept from then on for as long
/// as a tombstone. Citus takes no `now()` within a `CASE`.
pub(super) const RELEASE_LEASE: Template<ReleaseLease<'static>> =
    Template::new(&["-- checkpointer::release_lease
UPDATE {schema}.threads SET lease_token = NULL, lease_until = NULL,
    deleted_at = CASE WHEN deleted_at IS NOT NULL AND generation = 1 THEN clock.now
        ELSE deleted_at END
FROM (SELECT now()) AS clock
WHERE thread_id = {thread_id} AND lease_token = {token}"]);
