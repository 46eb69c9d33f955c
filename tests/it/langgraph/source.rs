//! The tables of LangGraph's saver, filled by real graphs.

use std::fs;

use checkpointer::{PostgresCheckpointer, PostgresOptions};
use langgraph::{Import, Report};
use rig::{TestDb, package_folder};
use tokio_postgres::Client;

/// A schema with LangGraph's tables, and another to import into.
pub(super) struct Source {
    pub(super) test: TestDb,
    pub(super) client: Client,
    target: TestDb,
}

impl Source {
    /// Fills the tables with what was recorded.
    pub(super) async fn recorded() -> Self {
        Self::of_file("tables.sql").await
    }

    /// Fills the tables with what was recorded of LangGraph.js.
    pub(super) async fn recorded_of_js() -> Self {
        Self::of_file("tables-of-js.sql").await
    }

    async fn of_file(name: &str) -> Self {
        let file = package_folder().join("fixtures/langgraph").join(name);
        Self::with(&fs::read_to_string(file).unwrap()).await
    }

    /// Fills the tables with one thread of what was recorded.
    pub(super) async fn of_thread(thread_id: &str) -> Self {
        let source = Self::recorded().await;
        for table in ["checkpoints", "checkpoint_writes"] {
            let sql = format!("DELETE FROM {{schema}}.{table} WHERE thread_id <> '{thread_id}'");
            source.run(&sql).await;
        }
        source
    }

    /// Runs SQL, in which the schema is `{schema}`.
    pub(super) async fn with(sql: &str) -> Self {
        let test = TestDb::new().await;
        let source = Self {
            client: test.observer().await,
            target: TestDb::without_schema().await,
            test,
        };
        source.run(sql).await;
        source
    }

    pub(super) async fn run(&self, sql: &str) {
        let sql = sql.replace("{schema}", self.test.schema());
        self.client.batch_execute(&sql).await.unwrap();
    }

    /// Makes the column of task paths, which tables before version 9 lack: all paths are empty. The
    /// comparison orders pending writes by them.
    pub(super) async fn add_task_paths(&self) {
        let column = "task_path text NOT NULL DEFAULT ''";
        let sql = format!("ALTER TABLE {{schema}}.checkpoint_writes ADD COLUMN {column}");
        self.run(&sql).await;
    }

    /// A checkpointer on the schema to import into; each call gives one with a pool of its own.
    pub(super) async fn target(&self) -> PostgresCheckpointer {
        self.target_with(PostgresOptions::default()).await
    }

    pub(super) async fn target_with(&self, options: PostgresOptions) -> PostgresCheckpointer {
        let database = self.target.connect(&[]).await;
        options.setup(database).await.unwrap()
    }

    /// The schema to import into.
    pub(super) fn target_schema(&self) -> &str {
        self.target.schema()
    }

    pub(super) async fn import(&self) -> Import {
        Import::new(self.test.connect(&[]).await).schema(self.test.schema())
    }

    /// Imports everything that can be.
    pub(super) async fn imported(&self) -> (PostgresCheckpointer, Report) {
        let target = self.target().await;
        let report = self.import().await.run(&target).await.unwrap();
        (target, report)
    }
}

/// Whether a thread's id can't be one here.
pub(super) fn is_lost(thread_id: &str) -> bool {
    thread_id.is_empty() || thread_id.len() > 512
}
