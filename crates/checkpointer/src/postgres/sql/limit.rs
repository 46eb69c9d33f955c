//! Measuring a thread that may have no room for a write.
//!
//! In one transaction: [`LOCK_COUNT`], [`MEASURE`], the write, [`MEASURE_AND_COUNT`]. What makes the thread
//! larger than the limit is taken back.

use super::counting::MEASURED;
use super::parameters::parameters;
use super::template::Template;
use super::threads::OneThread;

parameters! {
    /// A thread whose count is locked.
    struct CountedThread<'a> {
        thread_id: &'a str,
        /// Whether the write that follows changes the thread's row. Otherwise it is one of several
        /// that may hold the thread.
        alone: bool,
    }
}

/// Marks the place in a transaction to which a write is taken back.
pub(super) const SAVEPOINT: Template<()> =
    Template::new(&["-- checkpointer::savepoint\nSAVEPOINT checkpointer_write"]);

/// Takes a write back.
pub(super) const TAKE_BACK: Template<()> =
    Template::new(&["-- checkpointer::take_back\nROLLBACK TO SAVEPOINT checkpointer_write"]);

/// Forgets that place.
pub(super) const RELEASE: Template<()> =
    Template::new(&["-- checkpointer::release\nRELEASE SAVEPOINT checkpointer_write"]);

/// Locks a thread that is there, and its count, so that other writers with a limit wait.
///
/// A thread that the write will lock alone is locked so now: a writer that has it with others may wait
/// for the count.
pub(super) const LOCK_COUNT: Template<CountedThread<'static>> =
    Template::new(&["-- checkpointer::lock_count
WITH alone AS MATERIALIZED (
    SELECT thread_id FROM {schema}.threads WHERE thread_id = {thread_id} AND {alone}
    FOR NO KEY UPDATE
), shared AS MATERIALIZED (
    SELECT thread_id FROM {schema}.threads WHERE thread_id = {thread_id} AND NOT {alone}
    FOR SHARE
)
INSERT INTO {schema}.thread_bytes AS b (thread_id, bytes)
SELECT thread_id, 0 FROM alone UNION ALL SELECT thread_id, 0 FROM shared
ON CONFLICT (thread_id) DO UPDATE SET bytes = b.bytes"]);

/// Measures a thread.
pub(super) const MEASURE: Template<OneThread<'static>> =
    Template::new(&["-- checkpointer::measure\nSELECT ", MEASURED, " AS bytes"]);

/// Measures a thread, and notes what it has. Its count is locked, or else the thread was made by this
/// transaction.
pub(super) const MEASURE_AND_COUNT: Template<OneThread<'static>> = Template::new(&[
    "-- checkpointer::measure_and_count
INSERT INTO {schema}.thread_bytes (thread_id, bytes)
SELECT {thread_id}, ",
    MEASURED,
    "
ON CONFLICT (thread_id) DO UPDATE SET bytes = excluded.bytes
RETURNING bytes",
]);
