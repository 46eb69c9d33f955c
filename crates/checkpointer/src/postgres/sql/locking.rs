//! The ways to lock a thread before something is written to it.

use super::counting::IT_FITS;
use super::parameters::{Bound, Parameters, Query, Values, parameters};
use super::template::{Schema, Template};
use crate::codec::ContentHash;

parameters! {
    /// A thread that the client knows, as it saw it last.
    struct KnownThread<'a> {
        thread_id: &'a str,
        generation: i64,
        gc: i64,
        lease: Option<&'a str>,
    }
}

parameters! {
    /// The chunks that a write relies on.
    struct Relied<'a> {
        relied: &'a [ContentHash],
    }
}

parameters! {
    /// A thread that the client knows nothing of.
    struct AnyThread<'a> {
        thread_id: &'a str,
        /// Whether a later generation than the first will do.
        later_generation: bool,
        /// Whether the thread is started again if it was deleted.
        start_again: bool,
    }
}

parameters! {
    /// The same, for a client that has a lease.
    struct LeasedThread<'a> {
        thread_id: &'a str,
        later_generation: bool,
        start_again: bool,
        lease: &'a str,
    }
}

/// How a thread is locked.
#[derive(Debug)]
pub(in crate::postgres) enum ThreadLock<'a> {
    Known(KnownThread<'a>, Relied<'a>),
    Any(AnyThread<'a>),
    Leased(LeasedThread<'a>),
}

/// A statement that locks its thread and then writes, for each way to lock it.
#[derive(Debug)]
pub(in crate::postgres) struct Locking<P> {
    known: Query<((KnownThread<'static>, Relied<'static>), P)>,
    any: Query<(AnyThread<'static>, P)>,
    leased: Query<(LeasedThread<'static>, P)>,
}

/// The ways to lock a thread that make it if need be.
pub(super) struct Making {
    any: Template<AnyThread<'static>>,
    leased: Template<LeasedThread<'static>>,
}

impl<P: Parameters> Locking<P> {
    pub(super) fn new(schema: &Schema, name: &str, making: &Making, write: &Template<P>) -> Self {
        Self {
            known: schema.locking(name, &KNOWN_THREAD, write),
            any: schema.locking(name, &making.any, write),
            leased: schema.locking(name, &making.leased, write),
        }
    }

    /// The statement for a lock, with the values for it and for what is written.
    pub(in crate::postgres) fn with<'p>(
        &'p self,
        lock: &'p ThreadLock<'p>,
        write: impl Values<'p, P>,
    ) -> Bound<'p> {
        match lock {
            ThreadLock::Known(known, relied) => self.known.with(((known, relied), write)),
            ThreadLock::Any(any) => self.any.with((any, write)),
            ThreadLock::Leased(leased) => self.leased.with((leased, write)),
        }
    }
}

/// The ways to make a thread, for puts and for pending writes.
pub(super) fn making(schema: &Schema) -> (&'static Making, &'static Making) {
    match schema.writing.max_thread_bytes {
        None => (&WITH_HEAD, &WITHOUT_HEAD),
        Some(_) => (&WITH_HEAD_IF_IT_FITS, &WITHOUT_HEAD_IF_IT_FITS),
    }
}

/// Locks a thread the client knows, if nothing it relies on has changed since.
///
/// After a lock wait only the locked row is read again; everything else is as old as the
/// statement's snapshot. So what else must hold (the chunks are there) is tied to the row by `gc`.
///
/// Chunks are looked up one by one, by their keys. Asked for all of them at once, the planner reads
/// every chunk of the thread while the table is small, and keeps that plan as it grows. `OFFSET 0`
/// hides their number from it: if it knew that, it would make a new plan each time.
pub(super) const KNOWN_THREAD: Template<(KnownThread<'static>, Relied<'static>)> =
    Template::new(&["
    SELECT generation, gc FROM {schema}.threads
    WHERE {as_known}
      AND pg_catalog.cardinality({relied}) = (
          SELECT count(*)
          FROM (SELECT {relied} OFFSET 0) AS given (hashes),
              pg_catalog.unnest(given.hashes) AS relied (hash)
          CROSS JOIN LATERAL (
              SELECT FROM {schema}.chunks AS c
              WHERE c.thread_id = {thread_id} AND c.hash = relied.hash OFFSET 0) AS found)
    FOR SHARE"]);

/// The same for a write that relies on no chunk.
pub(super) const KNOWN_THREAD_ONLY: Template<KnownThread<'static>> = Template::new(&["
    SELECT generation, gc FROM {schema}.threads
    WHERE {as_known}
    FOR SHARE"]);

/// For puts: a thread that is made has a head then.
static WITH_HEAD: Making = Making {
    any: Template::new(&[MAKE_THREAD, "VALUES ({thread_id}, true)", OR_LOCK_IT]),
    leased: Template::new(&[LOCK_LEASED, "true", WHERE_LEASED, ITS_VIEW]),
};

/// For pending writes: it has none yet.
static WITHOUT_HEAD: Making = Making {
    any: Template::new(&[MAKE_THREAD, "VALUES ({thread_id}, false)", OR_LOCK_IT]),
    leased: Template::new(&[LOCK_LEASED, "false", WHERE_LEASED, ITS_VIEW]),
};

/// For puts under a limit: no thread is made for one that is too large for any thread.
static WITH_HEAD_IF_IT_FITS: Making = Making {
    any: Template::new(&[
        MAKE_THREAD,
        "SELECT {thread_id}, true WHERE ",
        IT_FITS,
        OR_LOCK_IT,
    ]),
    leased: Template::new(&[
        LOCK_LEASED,
        "true",
        WHERE_LEASED,
        " AND ",
        IT_FITS,
        ITS_VIEW,
    ]),
};

/// The same for pending writes.
static WITHOUT_HEAD_IF_IT_FITS: Making = Making {
    any: Template::new(&[
        MAKE_THREAD,
        "SELECT {thread_id}, false WHERE ",
        IT_FITS,
        OR_LOCK_IT,
    ]),
    leased: Template::new(&[
        LOCK_LEASED,
        "false",
        WHERE_LEASED,
        " AND ",
        IT_FITS,
        ITS_VIEW,
    ]),
};

/// Locks a thread the client knows nothing of, and makes it if it doesn't exist. The client sends
/// every chunk and relies on none, and has no lease.
const MAKE_THREAD: &str = "
    INSERT INTO {schema}.threads AS t (thread_id, has_head) ";

/// `excluded.created_at` is the time. A row of the first generation that is deleted only reserves a
/// place.
const OR_LOCK_IT: &str = "
    ON CONFLICT (thread_id) DO UPDATE
    SET deleted_at = NULL,
        created_at = CASE WHEN t.deleted_at IS NULL THEN t.created_at ELSE excluded.created_at END,
        has_head = t.deleted_at IS NULL AND t.has_head OR excluded.has_head
    WHERE (t.lease_token IS NULL OR t.lease_until <= excluded.created_at)
      AND (t.generation = 1
        OR CASE WHEN t.deleted_at IS NULL THEN {later_generation} ELSE {start_again} END)
    RETURNING generation, gc";

/// The same for a client that has a lease: its row is there, or else the lease is lost.
const LOCK_LEASED: &str = "
    UPDATE {schema}.threads AS t
    SET has_head = t.deleted_at IS NULL AND t.has_head OR ";

const WHERE_LEASED: &str = ",
        deleted_at = NULL,
        created_at = CASE WHEN t.deleted_at IS NULL THEN t.created_at ELSE clock.at END
    FROM (SELECT now() AS at OFFSET 0) AS clock
    WHERE t.thread_id = {thread_id} AND t.lease_token = {lease}
      AND (t.generation = 1
        OR CASE WHEN t.deleted_at IS NULL THEN {later_generation} ELSE {start_again} END)";

const ITS_VIEW: &str = "
    RETURNING generation, gc";
