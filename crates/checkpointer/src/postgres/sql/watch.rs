//! Finding the heads that have changed since the last look.
//!
//! What a look hasn't seen was written by a transaction that had not ended then: one that is as young
//! as the oldest of those, or younger. A row says by its `xmin` which transaction wrote it, so no
//! clock and no order of commits matters, and a put writes nothing for it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::parameters::parameters;
use super::template::Template;

parameters! {
    /// Where the last look was; nothing of it before the first one.
    #[derive(Default)]
    struct LastLook {
        /// The oldest transaction that had not ended.
        oldest: Option<i64>,
        /// When the server had started, which tells it from others.
        server: Option<SystemTime>,
    }
}

parameters! {
    /// When the last look was.
    struct Since {
        since: SystemTime,
    }
}

impl Default for Since {
    /// Before the first look: a time after which nothing has changed. A null would let the planner see
    /// that nothing is found, and Citus can't send such a statement to another server.
    fn default() -> Self {
        let since = UNIX_EPOCH + Duration::from_secs(8_000 * 365 * 24 * 60 * 60);
        Self { since }
    }
}

parameters! {
    /// The threads that are watched one by one.
    struct WatchedThreads<'a> {
        threads: &'a [&'a str],
        /// Whether a look has seen the thread.
        known: &'a [bool],
    }
}

/// The changes of all threads. Nothing is found by the first look.
///
/// The time bounds how much is read, by the index on the hour: a change is found if its transaction
/// took less than ten minutes. On another server, or after a restart, the numbers of transactions say
/// nothing: then everything of that time is found.
pub(super) const WATCH_ALL: Template<(LastLook, Since)> = Template::new(&[
    "-- checkpointer::watch_all",
    LOOK,
    "
SELECT look.oldest, look.at, look.server, changed.*
FROM look LEFT JOIN LATERAL (
    SELECT h.thread_id, t.generation, true AS live, h.checkpoint_ns, h.checkpoint_id
    FROM {schema}.heads AS h CROSS JOIN LATERAL (
        SELECT generation FROM {schema}.threads WHERE thread_id = h.thread_id OFFSET 0) AS t
    WHERE h.changed >= date_trunc('hour', ({since} - interval '10 minutes') AT TIME ZONE 'UTC')
      AND h.updated_at >= {since} - interval '10 minutes'
      AND ({server} <> look.server OR age(h.xmin) <= look.span)
    UNION ALL
    SELECT t.thread_id, t.generation, false, NULL, NULL
    FROM {schema}.threads AS t
    WHERE t.deleted_at >= {since} - interval '10 minutes' AND t.generation > 1
      AND ({server} <> look.server OR age(t.xmin) <= look.span)
) AS changed ON true",
]);

/// The changes of some threads, and all there is of those that no look has seen. A thread that
/// doesn't exist is not live.
pub(super) const WATCH_THREADS: Template<(LastLook, WatchedThreads<'static>)> = Template::new(&[
    "-- checkpointer::watch_threads",
    LOOK,
    "
SELECT look.oldest, look.at, look.server, changed.*
FROM look LEFT JOIN LATERAL (
    SELECT w.thread_id, t.generation, coalesce(t.deleted_at IS NULL AND t.generation > 0, false) AS live,
        h.checkpoint_ns, h.checkpoint_id
    FROM (SELECT {threads}, {known} OFFSET 0) AS given (threads, known),
        unnest(given.threads, given.known) AS w (thread_id, known)
    LEFT JOIN LATERAL (
        SELECT generation, deleted_at, age(xmin) <= look.span AS is_new FROM {schema}.threads
        WHERE thread_id = w.thread_id OFFSET 0) AS t ON true
    LEFT JOIN LATERAL (
        SELECT h.checkpoint_ns, h.checkpoint_id FROM {schema}.heads AS h
        WHERE h.thread_id = w.thread_id
          AND (NOT w.known OR {server} <> look.server OR age(h.xmin) <= look.span)
        OFFSET 0) AS h ON true
    WHERE NOT w.known OR {server} <> look.server OR t.is_new IS NOT FALSE
      OR h.checkpoint_id IS NOT NULL
) AS changed ON true",
]);

/// Where this look is, and how many transactions began since the oldest one that the last look hasn't
/// seen the end of.
const LOOK: &str = "
WITH look AS MATERIALIZED (
    SELECT pg_snapshot_xmin(snapshot)::text::bigint AS oldest, now() AS at,
        pg_postmaster_start_time() AS server,
        pg_snapshot_xmax(snapshot)::text::bigint - {oldest}
            + age(pg_snapshot_xmax(snapshot)::xid) AS span
    FROM pg_current_snapshot() AS snapshot
)";
