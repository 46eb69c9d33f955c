//! The statements, with their schema filled in once.
//!
//! A statement that writes begins by locking its thread, and every write reads from that lock: no
//! row, and nothing was changed.
//!
//! Functions that take any type are named with their schema. Without it, a function for exactly the
//! type at hand would be taken instead, wherever it is on the search path. (`unnest` of several
//! arrays is syntax.)

mod batch;
mod counting;
mod history;
mod lease;
mod limit;
mod list;
mod list_threads;
mod locking;
mod parameters;
mod read;
mod remove;
mod size;
mod sweep;
mod template;
mod threads;
mod upkeep;
mod verify;
mod watch;
mod write;

use std::time::Duration;

use crate::lease::MAX_TTL;
pub(super) use batch::Batch;
pub(super) use history::History;
pub(super) use lease::{AcquireLease, ReleaseLease, RenewLease};
pub(super) use limit::CountedThread;
pub(super) use list::{After, CountedCheckpoints, ListRestrictions, Matching};
pub(super) use list_threads::{AfterThread, CountedThreads, ThreadRestrictions};
pub(super) use locking::{AnyThread, KnownThread, LeasedThread, Locking, Relied, ThreadLock};
pub(super) use parameters::{Bound, Query};
pub(super) use read::{HeldChunks, OneCheckpoint, Only};
pub(super) use remove::{
    Asked, FoundWrites, GoingCheckpoints, KnownSeqs, NextHeads, NodesPage, OrphanedWrites,
    RemovedCheckpoints, Runs, Stands,
};
pub(super) use size::MeasuredSchema;
pub(super) use sweep::{
    EndedSweep, FoundChunks, MarkedPage, SweptThread, SweptTombstones, UnsweptPage,
};
pub(super) use template::Writing;
use template::{Schema, Template};
pub(super) use threads::{
    ChangedMetadata, DeletedThread, JudgedThread, LockedThread, MadeCopy, OneThread,
    PinnedCheckpoint, ThreadMetadata, ThreadsOfCopy,
};
pub(super) use upkeep::{AtWork, DuePage, EndOfCall, PolicyOfRound, Progress};
pub(super) use verify::{
    CheckpointsPage, ChunksPage, LackingChunks, PageSize, Silence, ThreadsPage, WritesPage,
};
pub(super) use watch::{LastLook, Since, WatchedThreads};
pub(super) use write::{DroppedWrites, Inherited, Look, NewCheckpoint, NewChunks, NewWrites};

/// The statements of one schema.
#[derive(Debug)]
pub(super) struct Sql {
    schema: Schema,
    /// A put to a namespace that has a head, of a thread that the client knows.
    pub(super) append: Query<((KnownThread<'static>, Relied<'static>), PutParameters)>,
    pub(super) put: Locking<(PutParameters, Inherited<'static>)>,
    /// Pending writes to regular channels only.
    pub(super) new_writes: WritesSql,
    /// Pending writes to any channels, of a task that may have stored some.
    pub(super) put_writes: WritesSql,
    /// Puts within a transaction of the caller's, whose commit is the caller's matter.
    pub(super) put_within: Locking<(PutParameters, Inherited<'static>)>,
    pub(super) put_writes_within: Locking<(NewChunks<'static>, NewWrites<'static>)>,
    pub(super) limit: Option<LimitSql>,
    /// Many writes at once, the pending writes to regular channels only.
    pub(super) new_batch: Query<Batch<'static>>,
    pub(super) batch: Query<Batch<'static>>,
    pub(super) look: Query<Look<'static>>,
    pub(super) get_tuple: Query<((Only<'static>, OneCheckpoint<'static>), HeldChunks<'static>)>,
    pub(super) count_threads: Query<CountedThreads<'static>>,
    pub(super) count_checkpoints: Query<CountedCheckpoints<'static>>,
    pub(super) thread_size: Query<OneThread<'static>>,
    pub(super) schema_size: Query<MeasuredSchema<'static>>,
    pub(super) thread_info: Query<OneThread<'static>>,
    pub(super) set_thread_metadata: Query<ThreadMetadata<'static>>,
    pub(super) update_thread_metadata: Query<ChangedMetadata<'static>>,
    pub(super) lock_for_metadata: Query<OneThread<'static>>,
    pub(super) lock_thread: Query<LockedThread<'static>>,
    pub(super) delete_thread: Query<DeletedThread<'static>>,
    pub(super) drop_writes: Query<DroppedWrites<'static>>,
    pub(super) count_thread: Query<OneThread<'static>>,
    pub(super) judge_thread: Query<JudgedThread<'static>>,
    pub(super) set_pinned: Query<PinnedCheckpoint<'static>>,
    pub(super) nodes: Query<(Asked<'static>, NodesPage<'static>)>,
    pub(super) new_nodes: Query<(Asked<'static>, KnownSeqs<'static>)>,
    pub(super) stands: Query<(Stands<'static>, NextHeads<'static>)>,
    pub(super) remove: Query<(RemovedCheckpoints<'static>, NextHeads<'static>)>,
    pub(super) find_orphaned_writes: Query<OrphanedWrites<'static>>,
    pub(super) remove_orphaned_writes: Query<FoundWrites<'static>>,
    pub(super) count_removed: Query<(OrphanedWrites<'static>, GoingCheckpoints<'static>)>,
    pub(super) threads_of_runs: Query<Runs<'static>>,
    pub(super) begin_sweep: Query<SweptThread<'static>>,
    pub(super) find_unneeded_chunks: Query<(SweptThread<'static>, MarkedPage)>,
    pub(super) sweep_chunks: Query<(SweptThread<'static>, FoundChunks<'static>)>,
    pub(super) end_sweep: Query<(SweptThread<'static>, EndedSweep)>,
    pub(super) begin_round: Query<(PolicyOfRound<'static>, AtWork<'static>)>,
    pub(super) look_at_round: Query<PolicyOfRound<'static>>,
    pub(super) note_progress: Query<((PolicyOfRound<'static>, AtWork<'static>), Progress<'static>)>,
    pub(super) end_call: Query<(PolicyOfRound<'static>, EndOfCall<'static>)>,
    pub(super) due_threads: Query<DuePage<'static>>,
    pub(super) postpone_sweep: Query<SweptThread<'static>>,
    pub(super) unswept: Query<UnsweptPage>,
    pub(super) sweep_tombstones: Query<SweptTombstones>,
    pub(super) lock_for_copy: Query<ThreadsOfCopy<'static>>,
    pub(super) make_copy: Query<MadeCopy<'static>>,
    pub(super) copy_thread: Query<ThreadsOfCopy<'static>>,
    pub(super) channel_history: Query<History<'static>>,
    pub(super) acquire_lease: Query<AcquireLease<'static>>,
    pub(super) renew_lease: Query<RenewLease<'static>>,
    pub(super) release_lease: Query<ReleaseLease<'static>>,
    pub(super) verify_threads: Query<ThreadsPage<'static>>,
    pub(super) verify_thread: Query<(OneThread<'static>, Silence)>,
    pub(super) verify_heads: Query<OneThread<'static>>,
    pub(super) verify_chunks: Query<(ChunksPage<'static>, PageSize)>,
    pub(super) verify_missing: Query<LackingChunks<'static>>,
    pub(super) verify_letters: Query<OneThread<'static>>,
    pub(super) verify_checkpoints: Query<(CheckpointsPage<'static>, PageSize)>,
    pub(super) verify_writes: Query<(WritesPage<'static>, PageSize)>,
    pub(super) verify_unneeded: Query<(OneThread<'static>, Silence)>,
    pub(super) restore_thread: Query<OneThread<'static>>,
    pub(super) empty_tombstone: Query<OneThread<'static>>,
    pub(super) place_heads: Query<OneThread<'static>>,
    pub(super) correct_counts: Query<OneThread<'static>>,
    pub(super) note_unswept: Query<OneThread<'static>>,
    pub(super) watch_all: Query<(LastLook, Since)>,
    pub(super) watch_threads: Query<(LastLook, WatchedThreads<'static>)>,
}

/// The statements for a write that a thread may have no room for, in one transaction.
#[derive(Debug)]
pub(super) struct LimitSql {
    /// How many bytes a thread may have.
    pub(super) max_thread_bytes: u64,
    pub(super) savepoint: Query<()>,
    pub(super) lock_count: Query<CountedThread<'static>>,
    pub(super) measure: Query<OneThread<'static>>,
    /// Writes that aren't counted.
    pub(super) put: Locking<(PutParameters, Inherited<'static>)>,
    pub(super) put_writes: Locking<(NewChunks<'static>, NewWrites<'static>)>,
    pub(super) measure_and_count: Query<OneThread<'static>>,
    pub(super) take_back: Query<()>,
    pub(super) release: Query<()>,
}

/// The statements for pending writes.
#[derive(Debug)]
pub(super) struct WritesSql {
    pub(super) any: Locking<(NewChunks<'static>, NewWrites<'static>)>,
    /// For those that need no chunk, of a thread that the client knows: each step that is left out
    /// saves time.
    pub(super) small: Query<(KnownThread<'static>, NewWrites<'static>)>,
}

/// What every put sends.
type PutParameters = (NewCheckpoint<'static>, NewChunks<'static>);

impl Sql {
    /// Fills in the schema, and what a checkpointer writes with.
    pub(super) fn new(schema: &str, writing: Writing) -> Self {
        let schema = Schema::new(schema, writing);
        let within = Schema::new(
            &schema.name,
            Writing {
                commit: "",
                ..writing
            },
        );
        let (with_head, without_head) = locking::making(&schema);
        Self {
            append: schema.locking("put", &locking::KNOWN_THREAD, &write::APPEND),
            put: Locking::new(&schema, "put", with_head, &write::PUT),
            new_writes: WritesSql::new(&schema, &write::NEW_WRITES, &write::NEW_SMALL_WRITES),
            put_writes: WritesSql::new(&schema, &write::PUT_WRITES, &write::PUT_SMALL_WRITES),
            put_within: Locking::new(&within, "put", with_head, &write::PUT),
            put_writes_within: Locking::new(
                &within,
                "put_writes",
                without_head,
                &write::PUT_WRITES,
            ),
            limit: writing
                .max_thread_bytes
                .map(|limit| LimitSql::new(&schema.name, writing, limit)),
            new_batch: schema.writing(&batch::NEW_BATCH),
            batch: schema.writing(&batch::BATCH),
            look: schema.query(&write::LOOK),
            get_tuple: schema.query(&read::GET_TUPLE),
            count_threads: schema.query(&list_threads::COUNT_THREADS),
            count_checkpoints: schema.query(&list::COUNT_CHECKPOINTS),
            thread_size: schema.query(&size::THREAD_SIZE),
            schema_size: schema.query(&size::SCHEMA_SIZE),
            thread_info: schema.query(&threads::THREAD_INFO),
            set_thread_metadata: schema.query(&threads::SET_THREAD_METADATA),
            update_thread_metadata: schema.query(&threads::UPDATE_THREAD_METADATA),
            lock_for_metadata: schema.query(&threads::LOCK_FOR_METADATA),
            lock_thread: schema.query(&threads::LOCK_THREAD),
            delete_thread: schema.query(&threads::DELETE_THREAD),
            drop_writes: schema.query(&write::DROP_WRITES),
            count_thread: schema.query(&threads::COUNT_THREAD),
            judge_thread: schema.query(&threads::JUDGE_THREAD),
            set_pinned: schema.query(&threads::SET_PINNED),
            nodes: schema.query(&remove::NODES),
            new_nodes: schema.query(&remove::NEW_NODES),
            stands: schema.query(&remove::STANDS),
            remove: schema.query(&remove::REMOVE),
            find_orphaned_writes: schema.query(&remove::FIND_ORPHANED_WRITES),
            remove_orphaned_writes: schema.query(&remove::REMOVE_ORPHANED_WRITES),
            count_removed: schema.query(&remove::COUNT_REMOVED),
            threads_of_runs: schema.query(&remove::THREADS_OF_RUNS),
            begin_sweep: schema.writing(&sweep::BEGIN_SWEEP),
            find_unneeded_chunks: schema.query(&sweep::FIND_UNNEEDED_CHUNKS),
            sweep_chunks: schema.query(&sweep::SWEEP_CHUNKS),
            end_sweep: schema.query(&sweep::END_SWEEP),
            begin_round: schema.query(&upkeep::BEGIN_ROUND),
            look_at_round: schema.query(&upkeep::LOOK_AT_ROUND),
            note_progress: schema.query(&upkeep::NOTE_PROGRESS),
            end_call: schema.query(&upkeep::END_CALL),
            due_threads: schema.query(&upkeep::DUE_THREADS),
            postpone_sweep: schema.query(&sweep::POSTPONE_SWEEP),
            unswept: schema.query(&sweep::UNSWEPT),
            sweep_tombstones: schema.query(&sweep::SWEEP_TOMBSTONES),
            lock_for_copy: schema.query(&threads::LOCK_FOR_COPY),
            make_copy: schema.query(&threads::MAKE_COPY),
            copy_thread: schema.query(&threads::COPY_THREAD),
            channel_history: schema.query(&history::CHANNEL_HISTORY),
            acquire_lease: schema.query(&lease::ACQUIRE_LEASE),
            renew_lease: schema.query(&lease::RENEW_LEASE),
            release_lease: schema.query(&lease::RELEASE_LEASE),
            verify_threads: schema.query(&verify::VERIFY_THREADS),
            verify_thread: schema.query(&verify::VERIFY_THREAD),
            verify_heads: schema.query(&verify::VERIFY_HEADS),
            verify_chunks: schema.query(&verify::VERIFY_CHUNKS),
            verify_missing: schema.query(&verify::VERIFY_MISSING),
            verify_letters: schema.query(&verify::VERIFY_LETTERS),
            verify_checkpoints: schema.query(&verify::VERIFY_CHECKPOINTS),
            verify_writes: schema.query(&verify::VERIFY_WRITES),
            verify_unneeded: schema.query(&verify::VERIFY_UNNEEDED),
            restore_thread: schema.query(&verify::RESTORE_THREAD),
            empty_tombstone: schema.query(&verify::EMPTY_TOMBSTONE),
            place_heads: schema.query(&verify::PLACE_HEADS),
            correct_counts: schema.query(&verify::CORRECT_COUNTS),
            note_unswept: schema.query(&verify::NOTE_UNSWEPT),
            watch_all: schema.query(&watch::WATCH_ALL),
            watch_threads: schema.query(&watch::WATCH_THREADS),
            schema,
        }
    }

    /// A page of a list of checkpoints.
    pub(super) fn list<'p>(&self, only: &'p Only<'p>, page: &'p ListRestrictions<'p>) -> Bound<'p> {
        self.schema.list(only, page)
    }

    /// A page of a list of threads.
    pub(super) fn threads<'p>(&self, page: &'p ThreadRestrictions<'p>) -> Bound<'p> {
        self.schema.threads(page)
    }
}

impl LimitSql {
    fn new(schema: &str, writing: Writing, max_thread_bytes: u64) -> Self {
        let schema = Schema::new(
            schema,
            Writing {
                commit: "",
                max_thread_bytes: None,
                ..writing
            },
        );
        let (with_head, without_head) = locking::making(&schema);
        Self {
            max_thread_bytes,
            savepoint: schema.keeping_session(&limit::SAVEPOINT),
            lock_count: schema.query(&limit::LOCK_COUNT),
            measure: schema.query(&limit::MEASURE),
            put: Locking::new(&schema, "put", with_head, &write::PUT),
            put_writes: Locking::new(&schema, "put_writes", without_head, &write::PUT_WRITES),
            measure_and_count: schema.query(&limit::MEASURE_AND_COUNT),
            take_back: schema.keeping_session(&limit::TAKE_BACK),
            release: schema.keeping_session(&limit::RELEASE),
        }
    }
}

impl WritesSql {
    fn new(
        schema: &Schema,
        any: &Template<(NewChunks<'static>, NewWrites<'static>)>,
        small: &Template<NewWrites<'static>>,
    ) -> Self {
        Self {
            any: Locking::new(schema, "put_writes", locking::making(schema).1, any),
            small: schema.locking("put_writes", &locking::KNOWN_THREAD_ONLY, small),
        }
    }

    /// The statement for a lock, with the values for it and for what is written.
    pub(super) fn with<'p>(
        &'p self,
        lock: &'p ThreadLock<'p>,
        chunks: &'p NewChunks<'p>,
        writes: &'p NewWrites<'p>,
    ) -> Bound<'p> {
        match lock {
            ThreadLock::Known(known, relied)
                if chunks.hashes.is_empty() && relied.relied.is_empty() =>
            {
                self.small.with((known, writes))
            }
            lock => self.any.with(lock, (chunks, writes)),
        }
    }
}

/// A duration as SQL gets it, cut to what no timestamp is too early or too late for.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.min(MAX_TTL).as_micros()).unwrap_or(i64::MAX)
}
