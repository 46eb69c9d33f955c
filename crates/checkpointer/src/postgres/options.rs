//! What can be chosen about the checkpointer in PostgreSQL.

use std::time::Duration;

use super::sql::{Writing, micros};
use super::store::Shares;
use crate::{DeletedThreads, TaskOutputs};

/// How long the tombstone of a deleted thread stays.
const TOMBSTONE_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long it stays at least, besides twice the time for retries: by the tombstone a deletion that
/// is tried again knows what it has done already.
const SHORTEST_TOMBSTONE_RETENTION: Duration = Duration::from_secs(60);

/// How long pending writes wait for their checkpoint.
const ORPHANED_WRITE_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// How much memory goes to remembering what is stored.
const CACHE_BYTES: usize = 128 << 20;

/// How long a look for new heads follows the one before at the latest.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// Chooses how a [`PostgresCheckpointer`](crate::PostgresCheckpointer) writes.
///
/// # Examples
///
/// ```no_run
/// use checkpointer::{Durability, PostgresOptions};
///
/// # async fn example(database: db::Database) -> checkpointer::Result<()> {
/// // An agent whose last moments may be lost with the server, for the sake of speed.
/// let checkpointer = PostgresOptions::default()
///     .durability(Durability::Relaxed)
///     .setup(database)
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct PostgresOptions {
    shared_transactions: bool,
    durability: Durability,
    deleted_threads: DeletedThreads,
    task_outputs: TaskOutputs,
    tombstone_retention: Duration,
    orphaned_write_retention: Duration,
    cache_bytes: usize,
    watch_interval: Duration,
    max_thread_bytes: Option<u64>,
}

/// How long things stay that may never be needed again, in microseconds.
#[derive(Debug)]
pub(super) struct Grace {
    pub(super) tombstones: i64,
    pub(super) orphaned_writes: i64,
}

/// What is certain once a write has returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The write survives a crash of the server, as far as the server is set up for that:
    /// `synchronous_commit` is left as it is.
    #[default]
    Full,
    /// The write survives a crash of the program, but not one of the server that follows within
    /// moments (three times `wal_writer_delay`: 0.6 seconds, unless that is changed); a
    /// synchronous standby isn't waited for either. It is a transaction with `synchronous_commit`
    /// off.
    ///
    /// Such a crash loses the last puts and pending writes. Each is lost as a whole, and none that
    /// followed a lost one is kept: each thread continues from an earlier step. A task whose
    /// output was acknowledged may run again. Deleting, copying and pruning stay durable.
    Relaxed,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            shared_transactions: true,
            durability: Durability::default(),
            deleted_threads: DeletedThreads::default(),
            task_outputs: TaskOutputs::default(),
            tombstone_retention: TOMBSTONE_RETENTION,
            orphaned_write_retention: ORPHANED_WRITE_RETENTION,
            cache_bytes: CACHE_BYTES,
            watch_interval: WATCH_INTERVAL,
            max_thread_bytes: None,
        }
    }
}

impl PostgresOptions {
    /// Chooses whether puts and pending writes that wait at the same moment share a transaction.
    /// Defaults to yes. Without it each write is a transaction of its own, on a connection of its
    /// own: this is for the benchmark, which measures what sharing saves.
    #[cfg(feature = "internals")]
    pub fn shared_transactions(self, shared_transactions: bool) -> Self {
        Self {
            shared_transactions,
            ..self
        }
    }

    /// Chooses what is certain once a write has returned. Defaults to [`Durability::Full`].
    pub fn durability(self, durability: Durability) -> Self {
        Self { durability, ..self }
    }

    /// Chooses what becomes of writes that come to a thread after its deletion. Defaults to
    /// [`DeletedThreads::Remembered`]. All programs that write to the same threads should choose the
    /// same.
    pub fn deleted_threads(self, deleted_threads: DeletedThreads) -> Self {
        Self {
            deleted_threads,
            ..self
        }
    }

    /// Chooses which outputs of a task are stored, if it stores some twice. Defaults to
    /// [`TaskOutputs::OfFirstCall`]. All programs that write to the same threads should choose the same.
    pub fn task_outputs(self, task_outputs: TaskOutputs) -> Self {
        Self {
            task_outputs,
            ..self
        }
    }

    /// Chooses how long a deleted thread is remembered, for as long as late writes may come: a
    /// minute at least, and twice the time for retries. Defaults to 30 days.
    ///
    /// What is remembered is its id, its generation and its lease, without any of its state and
    /// metadata: its tombstone. Each deletion and each prune removes a few tombstones that are
    /// older. After that the thread is like one that never was, and a late write brings it back.
    pub fn tombstone_retention(self, tombstone_retention: Duration) -> Self {
        Self {
            tombstone_retention,
            ..self
        }
    }

    /// Chooses how long pending writes wait for their checkpoint. Defaults to a day.
    ///
    /// Older ones are removed when a prune or a `delete_for_runs` removes a checkpoint of their
    /// thread.
    pub fn orphaned_write_retention(self, orphaned_write_retention: Duration) -> Self {
        Self {
            orphaned_write_retention,
            ..self
        }
    }

    /// Chooses about how many bytes of memory go to remembering what is stored. Defaults to 128 MiB.
    ///
    /// - Half is for the lists that [`get_tuple`](crate::Checkpointer::get_tuple) has returned last, in about as
    ///   many bytes as their items take. The next read of the same namespace brings only what is new in them. They
    ///   are shared with the caller: to change one copies it first. With more than about ten long lists in a
    ///   checkpoint, parts of them are brought again.
    /// - Three eighths are for the large values put last, in about as many bytes as they take as JSON, so that
    ///   only what has changed is hashed again.
    /// - A sixteenth is for which chunks each thread holds, in 32 bytes for about 2 KiB of content, so that they
    ///   aren't sent again.
    /// - A sixteenth is for the lists that puts [append to](crate::Put::append), in 5 to 10 KiB for each one,
    ///   however long it is, so that they aren't read again.
    ///
    /// All threads share all four, and those used longest ago are forgotten first: their next put and read take
    /// longer and have the same effect. With `0` nothing is remembered, and a put that brings a generation, as
    /// one after a [`CheckpointAddress`](crate::CheckpointAddress) does, takes a look at its thread first.
    ///
    /// It is harmless when the database holds less than is remembered, as after a restore: each
    /// statement checks what it relies on.
    pub fn cache_bytes(self, cache_bytes: usize) -> Self {
        Self {
            cache_bytes,
            ..self
        }
    }

    /// Chooses how long a change by another program may take until a
    /// [`watch`](crate::Checkpointer::watch) tells it: the pause between two looks while nothing
    /// changes. Defaults to 250 milliseconds.
    ///
    /// All watchers of a checkpointer share the looks. While something changes they are more frequent,
    /// and less where a look takes long: they take a twentieth of one connection's time at most.
    pub fn watch_interval(self, watch_interval: Duration) -> Self {
        Self {
            watch_interval,
            ..self
        }
    }

    /// Limits how many bytes a thread may have, as [`ThreadSize::bytes`](crate::ThreadSize::bytes) counts
    /// them. A put and pending writes that would make a thread larger fail with
    /// [`ThreadFull`](crate::Error::ThreadFull), and nothing of them is stored. Defaults to no limit.
    ///
    /// All programs that write to the same threads should choose the same: what a program without a limit
    /// writes isn't counted at once, but when the thread is measured again. A write that makes its thread no
    /// larger is never refused, such as one that is repeated. A copy isn't refused either.
    ///
    /// With a limit, each write is a transaction of its own, and writes of one thread wait for each other.
    /// `docs/limits.md` says how bytes are counted, and what that costs.
    pub fn max_thread_bytes(self, bytes: u64) -> Self {
        Self {
            max_thread_bytes: Some(bytes),
            ..self
        }
    }

    pub(super) fn interval_of_looks(&self) -> Duration {
        self.watch_interval
    }

    pub(super) fn grace(&self, retried_for: Duration) -> Grace {
        let shortest = SHORTEST_TOMBSTONE_RETENTION + 2 * retried_for;
        Grace {
            tombstones: micros(self.tombstone_retention.max(shortest)),
            orphaned_writes: micros(self.orphaned_write_retention),
        }
    }

    pub(super) fn are_deleted_threads_forgotten(&self) -> bool {
        self.deleted_threads.are_forgotten()
    }

    /// Whether writes share transactions. With a limit each is counted by itself.
    pub(super) fn shares_transactions(&self) -> bool {
        self.shared_transactions && self.max_thread_bytes.is_none()
    }

    pub(super) fn cache_shares(&self) -> Shares {
        let (chunks, lists) = (self.cache_bytes / 16, self.cache_bytes / 16);
        let reads = self.cache_bytes / 2;
        Shares {
            chunks,
            lists,
            reads,
            values: self.cache_bytes - chunks - lists - reads,
        }
    }

    /// What is written with.
    pub(super) fn writing(&self) -> Writing {
        Writing {
            commit: self.commit(),
            outputs_are_added: self.task_outputs == TaskOutputs::ByPosition,
            max_thread_bytes: self.max_thread_bytes,
        }
    }

    /// What a statement that writes selects besides its answer: its transaction only is changed.
    fn commit(&self) -> &'static str {
        match self.durability {
            Durability::Full => "",
            Durability::Relaxed => ", set_config('synchronous_commit', 'off', true)",
        }
    }
}
