//! Taking, renewing and releasing leases.
//!
//! A lease is in the row of its thread, which every write locks first: what a write is admitted by
//! is read under that lock, as of after any wait for it.
//!
//! One on a thread that doesn't exist has a row that reserves its place, which is no thread: of the
//! first generation, and deleted.

use db::Type;

use super::Template;

/// Takes a lease, or says until when somebody else has it. No row: it has changed hands meanwhile.
///
/// `excluded.deleted_at` is the time. An attempt that seemed lost finds its own token.
pub(super) const ACQUIRE_LEASE: Template = Template {
    sql: "-- checkpointer::acquire_lease
WITH a AS (
    INSERT INTO {schema}.threads AS t
        (thread_id, deleted_at, lease_number, lease_token, lease_until)
    VALUES ({thread_id}, now(), 1, {token}, now() + {micros} * interval '1 microsecond')
    ON CONFLICT (thread_id) DO UPDATE
    SET lease_number = CASE WHEN t.lease_token = excluded.lease_token THEN t.lease_number
            ELSE t.lease_number + 1 END,
        lease_token = excluded.lease_token, lease_until = excluded.lease_until
    WHERE {force} OR t.lease_token IS NULL OR t.lease_until <= excluded.deleted_at
       OR t.lease_token = excluded.lease_token
    RETURNING lease_number, lease_until
)
SELECT lease_number, lease_until FROM a
UNION ALL
SELECT NULL, lease_until FROM {schema}.threads
WHERE thread_id = {thread_id} AND lease_until > now() AND NOT EXISTS (SELECT FROM a)",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("token", Type::TEXT),
        ("micros", Type::INT8),
        ("force", Type::BOOL),
    ],
};

/// Lets a lease last longer, if it is still the thread's.
pub(super) const RENEW_LEASE: Template = Template {
    sql: "-- checkpointer::renew_lease
UPDATE {schema}.threads SET lease_until = now() + {micros} * interval '1 microsecond'
WHERE thread_id = {thread_id} AND lease_token = {token}
RETURNING lease_number, lease_until",
    parameters: &[
        ("thread_id", Type::TEXT),
        ("token", Type::TEXT),
        ("micros", Type::INT8),
    ],
};

/// Gives a lease back, if it is still the thread's.
pub(super) const RELEASE_LEASE: Template = Template {
    sql: "-- checkpointer::release_lease
UPDATE {schema}.threads SET lease_token = NULL, lease_until = NULL
WHERE thread_id = {thread_id} AND lease_token = {token}",
    parameters: &[("thread_id", Type::TEXT), ("token", Type::TEXT)],
};
