//! The import of what LangGraph's PostgreSQL saver has stored.

mod blobs;
mod leased;
mod report;
mod run;
mod sql;
mod stored;
mod tables;
mod thread;
mod writes;

use std::sync::Mutex;
use std::time::Duration;

use checkpointer::Checkpointer;
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
/// LangGraph's saver would go on from. Other rows of the target stay as they are.
///
/// The import reads page by page, and holds one checkpoint with its values for each of up to eight
/// threads. It may be
/// stopped at any moment and run again: what is there already is put again, with the same effect.
///
/// It must not be run again once agents work in the target. If a prune has removed imported checkpoints
/// since, they are put as new ones, and the head moves back to one of them.
///
/// A thread isn't imported in one transaction. While it is imported it is leased, so that no one
/// else writes to a thread of which a part is there; readers see that part. Runs that use
/// LangGraph's saver must be stopped before the import: what they store during it may be missed.
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
    lease_ttl: Duration,
}

impl Import {
    /// Imports from the schema `public` of `source`, which may be the target's database or another.
    #[must_use]
    pub fn new(source: Database) -> Self {
        Self {
            source,
            schema: "public".to_owned(),
            lease_ttl: Duration::from_secs(15),
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

    /// Sets for how long a thread stays leased if the import ends without returning the lease. An
    /// import that is run again waits for that, twice as long at most. Defaults to 15 seconds.
    #[must_use]
    pub fn lease_ttl(self, lease_ttl: Duration) -> Self {
        Self { lease_ttl, ..self }
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
    /// [`Error::Store`](crate::Error::Store) if the target does.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime with timers, if a lease has to be waited for.
    ///
    /// # Cancel safety
    ///
    /// If dropped, what was put stays. Calling again is harmless, and completes the import.
    pub async fn run(&self, checkpointer: &dyn Checkpointer) -> Result<Report> {
        self.run_with(checkpointer, |_| ()).await
    }

    /// Does the same, and calls `progress` with the report so far, at least once for each thread.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub async fn run_with(
        &self,
        checkpointer: &dyn Checkpointer,
        mut progress: impl FnMut(&Report) + Send,
    ) -> Result<Report> {
        let tables = Tables::find(self.source.clone(), &self.schema).await?;
        let run = Run {
            tables,
            checkpointer,
            lease_ttl: self.lease_ttl,
            account: Mutex::new(Account {
                report: Report::default(),
                progress: &mut progress,
            }),
        };
        run.all().await
    }
}
