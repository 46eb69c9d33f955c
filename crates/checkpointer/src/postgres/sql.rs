//! The statements, with their schema filled in once.
//!
//! A statement that writes begins by locking its thread, and every write reads from that lock: no
//! row, and nothing was changed.
//!
//! Functions that take any type are named with their schema: one for just the type at hand,
//! anywhere on the search path, would be taken instead. (`unnest` of several arrays is syntax.)

mod batch;
mod lease;
mod read;
mod remove;
mod threads;
mod write;

use std::time::Duration;

use db::{Statement, Type};

use crate::lease::MAX_TTL;
use batch::BATCH;
use lease::{ACQUIRE_LEASE, RELEASE_LEASE, RENEW_LEASE};
use read::{
    CHANNEL_HISTORY, GET_TUPLE, LIST, LIST_ORDER, LIST_THREAD, LIST_THREAD_ORDER, LOST_HEAD, READ,
};
use remove::{NODES, REMOVE, SWEEP_CHUNKS, THREADS_OF_RUNS};
use threads::{
    COPY_THREAD, DELETE_THREAD, LOCK_FOR_COPY, LOCK_THREAD, MAKE_COPY, SET_THREAD_METADATA,
    SWEEP_TOMBSTONES, THREADS, THREADS_ORDER,
};
use write::{
    ANY_THREAD, CHUNKS_OF_WRITES, DROP_WRITES, KNOWN_THREAD, KNOWN_THREAD_ONLY, LEASED_THREAD,
    LOOK, PUT, PUT_NEXT, PUT_WRITES,
};

/// A statement whose schema and parameters stand in braces.
struct Template {
    sql: &'static str,
    parameters: &'static [(&'static str, Type)],
}

/// The statements of one schema.
#[derive(Debug)]
pub(super) struct Sql {
    schema: String,
    pub(super) put: Writing,
    /// A put to a namespace that has a head, of a thread that the client knows.
    pub(super) put_next: Statement,
    pub(super) put_writes: Writing,
    /// Writes that need no chunk, of a thread that the client knows: each step less counts.
    pub(super) put_small_writes: Statement,
    pub(super) batch: Statement,
    pub(super) look: Statement,
    pub(super) get_tuple: Statement,
    pub(super) set_thread_metadata: Statement,
    pub(super) lock_thread: Statement,
    pub(super) delete_thread: Statement,
    pub(super) drop_writes: Statement,
    pub(super) nodes: Statement,
    pub(super) remove: Statement,
    pub(super) threads_of_runs: Statement,
    pub(super) sweep_chunks: Statement,
    pub(super) sweep_tombstones: Statement,
    pub(super) lock_for_copy: Statement,
    pub(super) make_copy: Statement,
    pub(super) copy_thread: Statement,
    pub(super) channel_history: Statement,
    pub(super) acquire_lease: Statement,
    pub(super) renew_lease: Statement,
    pub(super) release_lease: Statement,
}

/// A statement that locks its thread first, for each way to lock it.
#[derive(Debug)]
pub(super) struct Writing {
    /// The client knows the thread.
    pub(super) known: Statement,
    /// The client knows nothing of it.
    pub(super) any: Statement,
    /// The client knows nothing of it but its lease.
    pub(super) leased: Statement,
}

/// What restricts a page of a list; each combination is a statement of its own, so that each gets a
/// plan of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListKey {
    pub(super) thread_id: bool,
    pub(super) checkpoint_ns: bool,
    pub(super) checkpoint_id: bool,
    pub(super) filter: bool,
    pub(super) before: bool,
    /// The page goes on after a checkpoint.
    pub(super) after: bool,
}

impl Sql {
    /// Fills in the schema, and what each write selects besides its answer.
    pub(super) fn new(schema: &str, commit: &str) -> Self {
        let one = |template: &Template| fill(schema, template.sql, template.parameters);
        let locking = |name: &str, lock: &Template, parts: &[&Template]| {
            let all = || std::iter::once(lock).chain(parts.iter().copied());
            let sql: String = all().map(|part| part.sql).collect();
            let parameters: Vec<_> = all().flat_map(|part| part.parameters).cloned().collect();
            let sql = sql.replace("{commit}", commit);
            let sql = format!("-- checkpointer::{name}\nWITH l AS MATERIALIZED ({sql}");
            fill(schema, &sql, &parameters).keeping_session()
        };
        let writing = |name: &str, parts: &[&Template]| Writing {
            known: locking(name, &KNOWN_THREAD, parts),
            any: locking(name, &ANY_THREAD, parts),
            leased: locking(name, &LEASED_THREAD, parts),
        };
        Self {
            put: writing("put", &[&PUT]),
            put_next: locking("put", &KNOWN_THREAD, &[&PUT_NEXT]),
            put_writes: writing("put_writes", &[&CHUNKS_OF_WRITES, &PUT_WRITES]),
            put_small_writes: locking("put_writes", &KNOWN_THREAD_ONLY, &[&PUT_WRITES]),
            batch: fill(
                schema,
                &BATCH.sql.replace("{commit}", commit),
                BATCH.parameters,
            )
            .keeping_session(),
            look: one(&LOOK),
            get_tuple: fill(
                schema,
                &[GET_TUPLE.sql, READ, LOST_HEAD].concat(),
                GET_TUPLE.parameters,
            ),
            set_thread_metadata: one(&SET_THREAD_METADATA),
            lock_thread: one(&LOCK_THREAD),
            delete_thread: one(&DELETE_THREAD),
            drop_writes: one(&DROP_WRITES),
            nodes: one(&NODES),
            remove: one(&REMOVE),
            threads_of_runs: one(&THREADS_OF_RUNS),
            sweep_chunks: one(&SWEEP_CHUNKS),
            sweep_tombstones: one(&SWEEP_TOMBSTONES),
            lock_for_copy: one(&LOCK_FOR_COPY),
            make_copy: one(&MAKE_COPY),
            copy_thread: one(&COPY_THREAD),
            channel_history: one(&CHANNEL_HISTORY),
            acquire_lease: one(&ACQUIRE_LEASE),
            renew_lease: one(&RENEW_LEASE),
            release_lease: one(&RELEASE_LEASE),
            schema: schema.to_owned(),
        }
    }

    /// A page of a list. Its parameters: the channels to read, whether anything of the state is,
    /// the limit, then those of the restrictions in their order, the page's last checkpoint as id,
    /// thread and namespace.
    pub(super) fn list(&self, key: ListKey) -> Statement {
        let by_namespace = key.thread_id && !key.checkpoint_ns;
        let mut sql = if by_namespace { LIST_THREAD } else { LIST }.to_owned();
        let mut parameters = vec![
            ("only", Type::TEXT_ARRAY),
            ("state", Type::BOOL),
            ("limit", Type::INT8),
        ];
        let mut restrict = |on: bool, condition: &str, of: &[(&'static str, Type)]| {
            if on {
                sql.push_str("\n          AND ");
                sql.push_str(condition);
                parameters.extend_from_slice(of);
            }
        };
        restrict(
            key.thread_id,
            "c.thread_id = {thread_id}",
            &[("thread_id", Type::TEXT)],
        );
        restrict(
            key.checkpoint_ns,
            "c.checkpoint_ns = {ns}",
            &[("ns", Type::TEXT)],
        );
        restrict(
            key.checkpoint_id,
            "c.checkpoint_id = {id}",
            &[("id", Type::TEXT)],
        );
        restrict(
            key.filter,
            "c.metadata @> {filter}",
            &[("filter", Type::JSONB)],
        );
        restrict(
            key.before,
            "c.checkpoint_id < {before}",
            &[("before", Type::TEXT)],
        );
        restrict(
            key.after,
            "c.checkpoint_id <= {last_id} AND (c.checkpoint_id < {last_id}
              OR (c.thread_id, c.checkpoint_ns) > ({last_thread_id}, {last_ns}))",
            &[
                ("last_id", Type::TEXT),
                ("last_thread_id", Type::TEXT),
                ("last_ns", Type::TEXT),
            ],
        );
        if by_namespace {
            sql.push_str(LIST_THREAD_ORDER);
        }
        sql.push_str(LIST_ORDER);
        sql.push_str(READ);
        fill(&self.schema, &sql, &parameters)
    }

    /// A page of threads. Its parameters: the limit, the filter, then the page's last thread as its
    /// change and its id.
    pub(super) fn threads(&self, filter: bool, after: bool) -> Statement {
        let mut sql = THREADS.to_owned();
        let mut parameters = vec![("limit", Type::INT8)];
        if filter {
            sql.push_str("\n  AND t.metadata @> {filter}");
            parameters.push(("filter", Type::JSONB));
        }
        if after {
            sql.push_str(
                "\n  AND (coalesce(h.updated_at, t.created_at) < {at}
    OR (coalesce(h.updated_at, t.created_at) = {at} AND t.thread_id > {last_thread_id}))",
            );
            parameters.push(("at", Type::TIMESTAMPTZ));
            parameters.push(("last_thread_id", Type::TEXT));
        }
        sql.push_str(THREADS_ORDER);
        fill(&self.schema, &sql, &parameters)
    }
}

/// Whether the row of a thread is as the client knows it, and admits a write.
const AS_KNOWN: &str = "thread_id = {thread_id} AND generation = {generation} AND gc = {gc}
      AND deleted_at IS NULL AND {admitted}";

/// Whether the row of a thread admits a write, by the lease that it carries.
const ADMITTED: &str = "(lease_token IS NOT DISTINCT FROM {lease}
        OR ({lease} IS NULL AND lease_until <= now()))";

/// Whether `f.value` refers to chunks in the form that is written. Any other is left to the client,
/// whose error says where it is; the server's would only say that it has failed.
const IS_REFERENCE: &str =
    "(f.value ->> 'r') ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
    AND (f.value ->> 'd') ~ '^[0-9]{1,3}$'";

/// A duration as SQL gets it, cut to what no timestamp is too early or too late for.
pub(super) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.min(MAX_TTL).as_micros()).unwrap_or(i64::MAX)
}

/// Puts in the schema, and numbers the parameters.
fn fill(schema: &str, sql: &str, parameters: &[(&str, Type)]) -> Statement {
    let mut sql = sql
        .replace("{as_known}", AS_KNOWN)
        .replace("{admitted}", ADMITTED)
        .replace("{is_reference}", IS_REFERENCE);
    for (index, (name, _)) in parameters.iter().enumerate() {
        sql = sql.replace(&format!("{{{name}}}"), &format!("${}", index + 1));
    }
    // Last, so that a schema's name can hold braces.
    let types = parameters.iter().map(|(_, ty)| ty.clone()).collect();
    Statement::in_schema(&sql, types, schema)
}
