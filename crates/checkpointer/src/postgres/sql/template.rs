//! How the text of a statement becomes a statement: the schema is filled in, and the parameters are
//! numbered.

use std::borrow::Cow;
use std::marker::PhantomData;

use db::{Statement, ToSql};

use super::counting::counting;
use super::parameters::{Bound, Parameter, Parameters, Query, SqlType, Values};

/// The text of a statement, or of a part of one, in which the schema and the parameters stand in
/// braces.
pub(super) struct Template<P> {
    parts: &'static [&'static str],
    /// How many bytes it stores at most: terms of a sum.
    bytes: &'static [&'static str],
    parameters: PhantomData<P>,
}

/// The schema of the statements, and what is written with them.
#[derive(Debug)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) writing: Writing,
}

/// What a checkpointer writes with.
#[derive(Debug, Clone, Copy)]
pub(in crate::postgres) struct Writing {
    /// What each write selects besides its answer.
    pub(in crate::postgres) commit: &'static str,
    /// Whether outputs of a task are added to those of a call before.
    pub(in crate::postgres) outputs_are_added: bool,
    /// How many bytes a thread may have, if there is a limit.
    pub(in crate::postgres) max_thread_bytes: Option<u64>,
}

/// A statement that is put together for each call.
pub(super) struct Composed<'p> {
    sql: String,
    parameters: Vec<Parameter>,
    values: Vec<&'p (dyn ToSql + Sync)>,
}

impl<P: Parameters> Template<P> {
    pub(super) const fn new(parts: &'static [&'static str]) -> Self {
        Self {
            parts,
            bytes: &[],
            parameters: PhantomData,
        }
    }

    /// Says how many bytes it stores at most.
    pub(super) const fn storing(self, bytes: &'static [&'static str]) -> Self {
        Self { bytes, ..self }
    }

    fn sql(&self) -> String {
        self.parts.concat()
    }
}

impl Schema {
    pub(super) fn new(name: &str, writing: Writing) -> Self {
        let name = name.to_owned();
        Self { name, writing }
    }

    /// A statement as it stands.
    pub(super) fn query<P: Parameters>(&self, template: &Template<P>) -> Query<P> {
        Query::new(self.fill(&template.sql(), &declared::<P>()))
    }

    /// The same of one that leaves the session as it was, whatever its text looks like.
    pub(super) fn keeping_session<P: Parameters>(&self, template: &Template<P>) -> Query<P> {
        let sql = self.fill(&template.sql(), &declared::<P>());
        Query::new(sql.keeping_session())
    }

    /// A statement that writes as the options say.
    pub(super) fn writing<P: Parameters>(&self, template: &Template<P>) -> Query<P> {
        let sql = template.sql().replace("{commit}", self.writing.commit);
        Query::new(self.fill(&sql, &declared::<P>()).keeping_session())
    }

    /// A statement that locks its thread, and then writes; with a limit, only what the thread has room for.
    pub(super) fn locking<L: Parameters, P: Parameters>(
        &self,
        name: &str,
        lock: &Template<L>,
        write: &Template<P>,
    ) -> Query<(L, P)> {
        let (lock, bytes, write) = (lock.sql(), write.bytes, write.sql());
        let sql = match self.writing.max_thread_bytes {
            None => format!("WITH locked AS MATERIALIZED ({lock}\n), {write}"),
            Some(limit) => counting(&lock, bytes, &write, limit),
        };
        let sql =
            format!("-- checkpointer::{name}\n{sql}").replace("{commit}", self.writing.commit);
        Query::new(self.fill(&sql, &declared::<(L, P)>()).keeping_session())
    }

    /// A statement that was put together.
    pub(super) fn composed<'p>(&self, composed: Composed<'p>) -> Bound<'p> {
        Bound {
            statement: Cow::Owned(self.fill(&composed.sql, &composed.parameters)),
            values: composed.values,
        }
    }

    /// Numbers the parameters, and fills in the schema: last, so that its name can hold braces.
    fn fill(&self, sql: &str, parameters: &[Parameter]) -> Statement {
        let (with_the_first, each_with_the_first) = match self.writing.outputs_are_added {
            true => ("", ""),
            false => (WITH_THE_FIRST, EACH_WITH_THE_FIRST),
        };
        let mut sql = sql
            .replace("{as_known}", AS_KNOWN)
            .replace("{with_the_first}", with_the_first)
            .replace("{each_with_the_first}", each_with_the_first)
            .replace("{admitted}", ADMITTED)
            .replace("{is_reference}", IS_REFERENCE)
            .replace("{checkpoint_bytes}", CHECKPOINT_BYTES)
            .replace("{write_bytes}", WRITE_BYTES)
            .replace("{chunk_bytes}", CHUNK_BYTES);
        for (index, (name, _)) in parameters.iter().enumerate() {
            let named = format!("{{{name}}}");
            debug_assert!(sql.contains(&named), "{named} is used, and declared once");
            sql = sql.replace(&named, &format!("${}", index + 1));
        }
        let types = parameters.iter().map(|(_, ty)| ty.clone()).collect();
        Statement::in_schema(&sql, types, &self.name)
    }
}

impl<'p> Composed<'p> {
    /// Begins a statement.
    pub(super) fn new(sql: &str) -> Self {
        Self {
            sql: sql.to_owned(),
            parameters: Vec::new(),
            values: Vec::new(),
        }
    }

    /// Appends text.
    pub(super) fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    /// Takes a parameter.
    pub(super) fn take<T: SqlType>(&mut self, name: &'static str, value: &'p T) {
        self.parameters.push((name, T::TYPE));
        self.values.push(value);
    }

    /// Takes a group of parameters.
    pub(super) fn take_group<P: Parameters>(&mut self, group: &'p P)
    where
        &'p P: Values<'p, P>,
    {
        P::declare(&mut self.parameters);
        group.append(&mut self.values);
    }

    /// Restricts the statement by a condition on a value, if there is one.
    pub(super) fn restrict<T: SqlType>(
        &mut self,
        condition: &str,
        name: &'static str,
        value: &'p Option<T>,
    ) {
        if let Some(value) = value {
            self.push("\n  AND ");
            self.push(condition);
            self.take(name, value);
        }
    }
}

fn declared<P: Parameters>() -> Vec<Parameter> {
    let mut parameters = Vec::new();
    P::declare(&mut parameters);
    parameters
}

/// Whether the row of a thread is as the client knows it, and admits a write.
const AS_KNOWN: &str = "thread_id = {thread_id} AND generation = {generation} AND gc = {gc}
      AND deleted_at IS NULL AND {admitted}";

/// Whether the row of a thread admits a write, by the lease that it carries.
const ADMITTED: &str = "(lease_token IS NOT DISTINCT FROM {lease}
        OR ({lease} IS NULL AND lease_until <= now()))";

/// Whether the first of the task's regular outputs was stored by the same call: then its others are, too.
const WITH_THE_FIRST: &str = " AND EXISTS (SELECT FROM placed WHERE idx = 0)";

/// The same of many tasks.
const EACH_WITH_THE_FIRST: &str = " AND (new.thread_id, new.ns, new.id, new.task_id) IN (
          SELECT thread_id, checkpoint_ns, checkpoint_id, task_id FROM placed WHERE idx = 0)";

/// Whether `stored.value` refers to chunks in the form that is written. Any other is left to the
/// client, whose error says where it is; the server's would only say that it has failed.
const IS_REFERENCE: &str =
    "(stored.value ->> 'r') ~ '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
    AND (stored.value ->> 'd') ~ '^[0-9]{1,3}$'";

/// How many bytes the rows of a checkpoint `c`, a pending write `w` and a chunk `k` hold, as they are
/// stored.
const CHECKPOINT_BYTES: &str = "(pg_catalog.pg_column_size(c.checkpoint)
        + pg_catalog.pg_column_size(c.channels) + pg_catalog.pg_column_size(c.metadata))::bigint";
const WRITE_BYTES: &str = "pg_catalog.pg_column_size(w.value)::bigint";
const CHUNK_BYTES: &str = "(coalesce(pg_catalog.pg_column_size(k.content), 0)
        + coalesce(pg_catalog.pg_column_size(k.refs), 0))::bigint";
