//! LangGraph's tables: which they are, and their rows.

use std::collections::HashSet;

use db::{Database, FromSql, GenericClient, Row, Statement, ToSql};

use super::sql::{self, Paged, Statements};
use crate::{Error, Result, Serialized};

/// The first version of LangGraph's tables that has all of them.
const OLDEST: i32 = 3;

/// From this version on, writes have the path of their task.
const WITH_TASK_PATHS: i32 = 9;

/// The version of langgraph-checkpoint-postgres 3.2.
const NEWEST: i32 = 9;

/// The tables of one schema.
#[derive(Debug)]
pub(super) struct Tables {
    database: Database,
    statements: Statements,
}

/// A row of `checkpoints`.
#[derive(Debug)]
pub(super) struct CheckpointRow {
    pub(super) checkpoint_ns: String,
    pub(super) checkpoint_id: String,
    pub(super) parent_checkpoint_id: Option<String>,
    pub(super) checkpoint: String,
    pub(super) metadata: String,
}

/// A row of `checkpoint_writes`.
#[derive(Debug)]
pub(super) struct WriteRow {
    pub(super) checkpoint_ns: String,
    pub(super) checkpoint_id: String,
    pub(super) task_id: String,
    pub(super) idx: i32,
    pub(super) task_path: String,
    pub(super) channel: String,
    pub(super) value: Serialized,
}

impl Tables {
    /// Finds the tables, and refuses those whose rows mean something else.
    pub(super) async fn find(database: Database, schema: &str) -> Result<Self> {
        let columns = rows(&database, &sql::COLUMNS, &[&schema]).await?;
        let columns: HashSet<(String, String)> =
            columns.iter().map(name_pair).collect::<Result<_>>()?;
        let has = |table: &str| columns.iter().any(|(of, _)| of == table);
        let schema_name = || schema.to_owned();
        if !has("checkpoints") || !has("checkpoint_migrations") {
            return Err(Error::NoTables {
                schema: schema_name(),
            });
        }
        if !columns.contains(&("checkpoints".to_owned(), "checkpoint_id".to_owned())) {
            return Err(Error::ShallowTables {
                schema: schema_name(),
            });
        }
        let version = rows(&database, &sql::version(schema), &[]).await?;
        let version: Option<i32> = version
            .first()
            .map(|row| column(row, 0))
            .transpose()?
            .flatten();
        let Some(known @ OLDEST..=NEWEST) = version else {
            return Err(Error::UnsupportedTables {
                schema: schema_name(),
                version,
                oldest: OLDEST,
                newest: NEWEST,
            });
        };
        Ok(Self {
            database,
            statements: Statements::new(schema, known >= WITH_TASK_PATHS),
        })
    }

    /// The thread that follows `after`, or the first one.
    pub(super) async fn next_thread(&self, after: Option<&str>) -> Result<Option<String>> {
        let after = after.as_ref().map(|after| [after as Parameter<'_>]);
        let threads = self
            .page(
                &self.statements.thread,
                &[],
                after.as_ref().map(|after| &after[..]),
            )
            .await?;
        Ok(threads
            .first()
            .map(|row| column(row, 0))
            .transpose()?
            .flatten())
    }

    /// How many threads there are.
    pub(super) async fn count(&self) -> Result<u64> {
        let rows = rows(&self.database, &self.statements.threads, &[]).await?;
        let count: Option<i64> = rows.first().map(|row| column(row, 0)).transpose()?;
        Ok(count.unwrap_or_default().unsigned_abs())
    }

    /// A page of a thread's checkpoints, by namespace and id.
    pub(super) async fn checkpoints(
        &self,
        thread_id: &str,
        after: Option<&(String, String)>,
    ) -> Result<Vec<CheckpointRow>> {
        let after: Option<[Parameter<'_>; 2]> = after.map(|(ns, id)| [ns as Parameter<'_>, id]);
        let after = after.as_ref().map(|after| &after[..]);
        let rows = self
            .page(&self.statements.checkpoints, &[&thread_id], after)
            .await?;
        rows.iter().map(CheckpointRow::read).collect()
    }

    /// The values of channels at versions, of those that have one. An empty channel has none.
    pub(super) async fn blobs(
        &self,
        thread_id: &str,
        checkpoint_ns: &str,
        channels: &[&str],
        versions: &[&str],
    ) -> Result<Vec<(String, Serialized)>> {
        let parameters: [Parameter<'_>; 4] = [&thread_id, &checkpoint_ns, &channels, &versions];
        let rows = rows(&self.database, &self.statements.blobs, &parameters).await?;
        let blobs = rows.iter().map(blob);
        blobs.filter_map(Result::transpose).collect()
    }

    /// A page of a thread's pending writes, by checkpoint, task and index.
    pub(super) async fn writes(
        &self,
        thread_id: &str,
        after: Option<&(String, String, String, i32)>,
    ) -> Result<Vec<WriteRow>> {
        let after: Option<[Parameter<'_>; 4]> =
            after.map(|(ns, id, task, idx)| [ns as Parameter<'_>, id, task, idx]);
        let after = after.as_ref().map(|after| &after[..]);
        let rows = self
            .page(&self.statements.writes, &[&thread_id], after)
            .await?;
        rows.iter().map(WriteRow::read).collect()
    }

    async fn page(
        &self,
        paged: &Paged,
        parameters: &[Parameter<'_>],
        after: Option<&[Parameter<'_>]>,
    ) -> Result<Vec<Row>> {
        match after {
            None => rows(&self.database, &paged.first, parameters).await,
            Some(after) => rows(&self.database, &paged.next, &[parameters, after].concat()).await,
        }
    }
}

type Parameter<'a> = &'a (dyn ToSql + Sync);

async fn rows(
    database: &Database,
    statement: &Statement,
    parameters: &[Parameter<'_>],
) -> Result<Vec<Row>> {
    let read = database.retry("read LangGraph's tables");
    let read = read.run(|| async { database.get().await?.query(statement, parameters).await });
    read.await.map_err(|source| Error::Read { source })
}

fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T> {
    row.try_get(index).map_err(|source| Error::UnreadableRow {
        source: source.into(),
    })
}

fn name_pair(row: &Row) -> Result<(String, String)> {
    Ok((column(row, 0)?, column(row, 1)?))
}

impl CheckpointRow {
    /// Where the row stands among those of its thread.
    pub(super) fn position(&self) -> (String, String) {
        (self.checkpoint_ns.clone(), self.checkpoint_id.clone())
    }

    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            checkpoint_ns: column(row, 0)?,
            checkpoint_id: column(row, 1)?,
            parent_checkpoint_id: column(row, 2)?,
            checkpoint: column(row, 3)?,
            metadata: column(row, 4)?,
        })
    }
}

impl WriteRow {
    /// Where the row stands among those of its thread.
    pub(super) fn position(&self) -> (String, String, String, i32) {
        let Self {
            checkpoint_ns: ns,
            checkpoint_id: id,
            task_id: task,
            idx,
            ..
        } = self;
        (ns.clone(), id.clone(), task.clone(), *idx)
    }

    fn read(row: &Row) -> Result<Self> {
        Ok(Self {
            checkpoint_ns: column(row, 0)?,
            checkpoint_id: column(row, 1)?,
            task_id: column(row, 2)?,
            idx: column(row, 3)?,
            task_path: column(row, 4)?,
            channel: column(row, 5)?,
            value: Serialized::new(column::<String>(row, 6)?, column::<Vec<u8>>(row, 7)?),
        })
    }
}

/// LangGraph marks a channel that is empty by a type without bytes.
fn blob(row: &Row) -> Result<Option<(String, Serialized)>> {
    let type_name: String = column(row, 1)?;
    if type_name == "empty" {
        return Ok(None);
    }
    let bytes: Option<Vec<u8>> = column(row, 2)?;
    let value = Serialized::new(type_name, bytes.unwrap_or_default());
    Ok(Some((column(row, 0)?, value)))
}
