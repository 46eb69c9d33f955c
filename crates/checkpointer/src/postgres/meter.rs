//! What the calls tell a recorder of the `metrics` facade.
//!
//! Labels have few values: operations and outcomes. No label holds a name that a user chose.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{
    Gauge, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

use super::call::outcome;
use crate::{Error, Removed, Result, SchemaSize};

const OPERATIONS: &str = "checkpointer_operations_total";
const OPERATION_SECONDS: &str = "checkpointer_operation_seconds";
const RETRIES: &str = "checkpointer_retries_total";
const CONFLICTS: &str = "checkpointer_conflicts_total";
const STALE_WRITES: &str = "checkpointer_stale_writes_total";
const WRITES_UNDER_WAY: &str = "checkpointer_writes_under_way";
const BATCH_WRITES: &str = "checkpointer_batch_writes";
const SENT_BYTES: &str = "checkpointer_sent_bytes_total";
const SENT_CHUNKS: &str = "checkpointer_sent_chunks_total";
const REUSED_CHUNKS: &str = "checkpointer_reused_chunks_total";
const REMOVED_CHECKPOINTS: &str = "checkpointer_removed_checkpoints_total";
const TABLE_BYTES: &str = "checkpointer_table_bytes";
const TABLE_ROWS: &str = "checkpointer_table_rows";
const WATCHERS: &str = "checkpointer_watchers";
const HEAD_CHANGES: &str = "checkpointer_head_changes_total";
const WATCH_LOOK_SECONDS: &str = "checkpointer_watch_look_seconds";
const REMOVED_THREADS: &str = "checkpointer_removed_threads_total";
const REMOVED_BYTES: &str = "checkpointer_removed_bytes_total";
const PRUNE_FAILURES: &str = "checkpointer_prune_failures_total";
const RETENTION_ROUNDS: &str = "checkpointer_retention_rounds_total";
const RETENTION_ROUND: &str = "checkpointer_retention_round_timestamp_seconds";

/// A call is over.
pub(super) fn ended(operation: &'static str, outcome: &'static str, after: Duration) {
    counter!(OPERATIONS, "operation" => operation, "outcome" => outcome).increment(1);
    histogram!(OPERATION_SECONDS, "operation" => operation, "outcome" => outcome).record(after);
    if outcome == "conflict" {
        counter!(CONFLICTS).increment(1);
    }
}

/// A statement or transaction of a call is sent again after a failure.
pub(super) fn retried(operation: &'static str) {
    counter!(RETRIES, "operation" => operation).increment(1);
}

/// A write is handed over to be sent.
pub(super) fn sent(bytes: usize, new_chunks: usize, reused_chunks: usize) {
    counter!(SENT_BYTES).increment(bytes as u64);
    counter!(SENT_CHUNKS).increment(new_chunks as u64);
    counter!(REUSED_CHUNKS).increment(reused_chunks as u64);
}

/// A write found its thread in another state than it relied on.
pub(super) fn was_stale() {
    counter!(STALE_WRITES).increment(1);
}

/// So many writes go out in one transaction.
pub(super) fn batched(writes: usize) {
    histogram!(BATCH_WRITES).record(writes as f64);
}

/// So much was removed from a thread.
pub(super) fn removed(removed: &Removed) {
    counter!(REMOVED_CHECKPOINTS).increment(removed.checkpoints);
    counter!(REMOVED_THREADS).increment(removed.threads);
    counter!(REMOVED_BYTES).increment(removed.bytes);
}

/// A thread couldn't be pruned.
pub(super) fn failed_to_prune(error: &Error) {
    counter!(PRUNE_FAILURES, "outcome" => outcome(error)).increment(1);
}

/// A policy was applied to all threads that were due when the round began.
pub(super) fn round_done(begun: SystemTime) {
    counter!(RETENTION_ROUNDS).increment(1);
    let since = begun.duration_since(UNIX_EPOCH).unwrap_or_default();
    gauge!(RETENTION_ROUND).set(since.as_secs_f64());
}

/// The tables were measured.
pub(super) fn measured(size: &SchemaSize) {
    for (name, table) in &size.tables {
        gauge!(TABLE_BYTES, "table" => name.clone()).set(table.bytes as f64);
        gauge!(TABLE_ROWS, "table" => name.clone()).set(table.rows as f64);
    }
}

/// The watchers have looked for changes, and found so many.
pub(super) fn looked(outcome: &Result<usize>, after: Duration) {
    let label = match outcome {
        Ok(_) => "ok",
        Err(_) => "failed",
    };
    histogram!(WATCH_LOOK_SECONDS, "outcome" => label).record(after);
    let changes = outcome.as_ref().map_or(0, |changes| *changes as u64);
    counter!(HEAD_CHANGES).increment(changes);
}

/// Counts a watcher for as long as it lives.
#[derive(Debug)]
pub(super) struct Watcher(Gauge);

impl Watcher {
    pub(super) fn new() -> Self {
        let gauge = gauge!(WATCHERS);
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Counts a write as under way for as long as it lives.
#[derive(Debug)]
pub(super) struct UnderWay(Gauge);

impl UnderWay {
    pub(super) fn new() -> Self {
        let gauge = gauge!(WRITES_UNDER_WAY);
        gauge.increment(1);
        Self(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// Says what the figures mean, as `docs/observability.md` does. Counters of rare events begin at
/// zero, because a rate doesn't show the first rise of a counter that wasn't there.
pub(super) fn describe() {
    for rare in [
        CONFLICTS,
        STALE_WRITES,
        REMOVED_CHECKPOINTS,
        REMOVED_THREADS,
        REMOVED_BYTES,
    ] {
        counter!(rare).increment(0);
    }
    describe_counter!(
        OPERATIONS,
        Unit::Count,
        "Calls that ended, by what came of them"
    );
    describe_histogram!(
        OPERATION_SECONDS,
        Unit::Seconds,
        "How long calls took, with all waiting and retrying"
    );
    describe_counter!(
        RETRIES,
        Unit::Count,
        "Attempts after the first one, because of a failure"
    );
    describe_counter!(
        CONFLICTS,
        Unit::Count,
        "Guarded puts that lost to another writer"
    );
    describe_counter!(
        STALE_WRITES,
        Unit::Count,
        "Writes that found their thread in another state than they relied on, and looked"
    );
    describe_gauge!(
        WRITES_UNDER_WAY,
        Unit::Count,
        "Puts and pending writes that are sent or wait for that"
    );
    describe_histogram!(
        BATCH_WRITES,
        Unit::Count,
        "How many puts and pending writes went out in one transaction"
    );
    describe_counter!(
        SENT_BYTES,
        Unit::Bytes,
        "JSON of puts and pending writes, without names and retries"
    );
    describe_counter!(
        SENT_CHUNKS,
        Unit::Count,
        "Chunks of large values that were sent"
    );
    describe_counter!(
        REUSED_CHUNKS,
        Unit::Count,
        "Chunks that were known to be stored; one counts for all below it"
    );
    describe_counter!(REMOVED_THREADS, Unit::Count, "Threads that a prune deleted");
    describe_counter!(
        REMOVED_BYTES,
        Unit::Bytes,
        "What a prune or a `delete_for_runs` removed, as it was stored"
    );
    describe_counter!(
        RETENTION_ROUNDS,
        Unit::Count,
        "Rounds in which a policy was applied to all threads that were due"
    );
    describe_gauge!(
        RETENTION_ROUND,
        Unit::Seconds,
        "When the last round that came to its end began, in seconds since 1970"
    );
    describe_counter!(
        PRUNE_FAILURES,
        Unit::Count,
        "Threads that a prune failed at, by the reason"
    );
    describe_counter!(
        REMOVED_CHECKPOINTS,
        Unit::Count,
        "Checkpoints that a prune or a `delete_for_runs` removed"
    );
    describe_gauge!(
        TABLE_BYTES,
        Unit::Bytes,
        "What a table takes with its indexes, when `schema_size` was called last"
    );
    describe_gauge!(
        TABLE_ROWS,
        Unit::Count,
        "About how many rows a table has, when `schema_size` was called last"
    );
    describe_gauge!(WATCHERS, Unit::Count, "Streams of new heads that are open");
    describe_counter!(
        HEAD_CHANGES,
        Unit::Count,
        "New heads and deletions that were found for the watchers"
    );
    describe_histogram!(
        WATCH_LOOK_SECONDS,
        Unit::Seconds,
        "How long looks for new heads took, and whether they have failed"
    );
}
