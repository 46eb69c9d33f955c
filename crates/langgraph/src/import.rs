//! The import of what LangGraph's PostgreSQL saver has stored.

mod blobs;
mod report;
mod run;
mod sql;
mod stored;
mod tables;
mod thread;
mod writes;

use std::sync::Mutex;

use checkpointer::PostgresCheckpointer;
use db::Database;

use self::run::{Account, Run};
use self::tables::Tables;
use crate::Result;

pub use report::{Loss, Place, Reason, Report};

/// Reads the tables of LangGraph's Python `PostgresSaver`, and puts all that is in them: each
/// checkpoint with its values, metadata, versions and parent, and each pending write.
///
/// Values are stored in the form of [`Serialized::to_json`](crate::Serialized::to_json). The
/// greatest id of each thread and namespace is put last, so that the head is the checkpoint that
/// LangGraph's saver would go on from.
///
/// Each thread is imported in one transaction: all of it is there, or nothing. A thread that is there
/// already is left as it is, so the import may be stopped at any moment and run again, also while agents
/// work on threads that were imported. A thread that was deleted in the target stays deleted, and is
/// reported, as long as its tombstone is there.
///
/// The import reads page by page, and holds one checkpoint with its values for each of up to eight
/// threads. It takes a connection of the target for each of them, and reads by others: if the source is
/// the target's pool, that must have two connections at least.
///
/// Runs that use LangGraph's saver must be stopped before the import: what they store during it may be
/// missed.
///
/// `docs/langgraph-import.md` says what can't come over.
///
/// # Examples
///
/// ```no_run
/// use checkpointer::PostgresCheckpointer;
/// use db::Database;
/// use langgraph::Import;
///
/// # async fn example(settings: &settings::Settings) -> Result<(), Box<dyn std::error::Error>> {
/// let database = Database::connect(settings).await?;
/// let checkpointer = PostgresCheckpointer::setup(database.clone()).await?;
///
/// let report = Import::new(database).run(&checkpointer).await?;
/// println!("{} checkpoints of {} threads", report.checkpoints, report.threads);
/// for loss in &report.losses {
///     println!("not imported: {loss}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Import {
    source: Database,
    schema: String,
}

impl Import {
    /// Imports from the schema `public` of `source`, which may be the target's database or another.
    #[must_use]
    pub fn new(source: Database) -> Self {
        Self {
            source,
            schema: "public".to_owned(),
        }
    }

    /// Names the schema of LangGraph's tables. Defaults to `public`.
    #[must_use]
    pub fn schema(self, schema: impl Into<String>) -> Self {
        Self {
            schema: schema.into(),
            ..self
        }
    }

    /// Counts the threads that there are to be imported.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run), but for those of the target.
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    pub async fn threads(&self) -> Result<u64> {
        let tables = Tables::find(self.source.clone(), &self.schema).await?;
        tables.count().await
    }

    /// Imports all threads, up to eight at the same time.
    ///
    /// What can't be stored is left out and listed in [`Report::losses`].
    ///
    /// # Errors
    ///
    /// [`Error::NoTables`](crate::Error::NoTables),
    /// [`Error::ShallowTables`](crate::Error::ShallowTables) and
    /// [`Error::UnsupportedTables`](crate::Error::UnsupportedTables) before anything is imported;
    /// [`Error::Read`](crate::Error::Read) if the source fails, and
    /// [`Error::Store`](crate::Error::Store) if the target does: the threads stay that are complete.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the threads stay that are complete. Calling again imports the others.
    pub async fn run(&self, target: &PostgresCheckpointer) -> Result<Report> {
        self.run_with(target, |_| ()).await
    }

    /// Does the same, and calls `progress` with the report so far, at least once for each thread. Threads
    /// under way are counted as well.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_with(
        &self,
        target: &PostgresCheckpointer,
        mut progress: impl FnMut(&Report) + Send,
    ) -> Result<Report> {
        let tables = Tables::find(self.source.clone(), &self.schema).await?;
        let run = Run {
            tables,
            target,
            account: Mutex::new(Account {
                report: Report::default(),
                progress: &mut progress,
            }),
        };
        run.all().await
    }
}
