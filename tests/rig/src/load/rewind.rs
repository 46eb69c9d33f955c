//! A thread that goes back in time, as all do at a failover to a standby that was behind, or when
//! an older state is restored.

use anyhow::{Context as _, Result};
use checkpointer::PostgresCheckpointer;
use db::{Database, GenericClient, Statement, Type, quote_identifier};

/// The tables, which go back together.
const TABLES: [&str; 5] = [
    "threads",
    "heads",
    "checkpoints",
    "chunks",
    "pending_writes",
];

/// Remembers a state of each thread, and brings it back.
#[derive(Debug)]
pub(super) struct Rewind {
    database: Database,
    remember: Statement,
    lock: Statement,
    bring_back: Vec<Statement>,
}

impl Rewind {
    /// Makes the tables that hold the past.
    pub(super) async fn setup(database: Database) -> Result<Self> {
        let schema = quote_identifier(PostgresCheckpointer::migrations().schema(&database));
        let per_table = |template: &str, separator: &str| {
            let parts = TABLES.map(|table| {
                let own = template
                    .replace("{table}", table)
                    .replace("{columns}", columns(table));
                own.replace("{schema}", &schema)
            });
            parts.join(separator)
        };
        let past = per_table(
            "CREATE TABLE past.{table} (LIKE {schema}.{table} INCLUDING GENERATED)",
            ";\n",
        );
        let made = async {
            let sql = format!("CREATE SCHEMA past;\n{past}");
            database.get().await?.batch_execute(&sql).await
        };
        made.await.context("look at the tables")?;

        let statement = |sql: String| Statement::from_parts(sql, vec![Type::TEXT]);
        // One statement, and so one state of all the tables.
        let remember = per_table(
            "{table}_gone AS (DELETE FROM past.{table} WHERE thread_id = $1),
{table}_now AS (INSERT INTO past.{table} ({columns})
    SELECT {columns} FROM {schema}.{table} WHERE thread_id = $1)",
            ",\n",
        );
        let bring_back = TABLES.iter().flat_map(|table| {
            [
                format!("DELETE FROM {schema}.{table} WHERE thread_id = $1"),
                format!(
                    "INSERT INTO {schema}.{table} ({columns})
                     SELECT {columns} FROM past.{table} WHERE thread_id = $1",
                    columns = columns(table)
                ),
            ]
        });
        Ok(Self {
            remember: statement(format!("-- rig::remember\nWITH {remember}\nSELECT 1")),
            // No statement is under way when a server is lost: all wait here, and read what is
            // there afterwards.
            lock: Statement::from_parts(
                format!("LOCK TABLE {}", per_table("{schema}.{table}", ", ")),
                Vec::new(),
            ),
            bring_back: bring_back.map(statement).collect(),
            database,
        })
    }

    /// Remembers the state of a thread, in place of the one before.
    pub(super) async fn remember(&self, thread_id: &str) -> Result<()> {
        let remembered = async {
            let connection = self.database.get().await?;
            connection.execute(&self.remember, &[&thread_id]).await
        };
        remembered.await.context("look at the tables")?;
        Ok(())
    }

    /// Brings the state that was remembered back, also if the thread didn't exist then.
    pub(super) async fn bring_back(&self, thread_id: &str) -> Result<()> {
        loop {
            let done = self.database.transaction(async |tx| {
                tx.execute(&self.lock, &[]).await?;
                for statement in &self.bring_back {
                    tx.execute(statement, &[&thread_id]).await?;
                }
                Ok::<_, db::Error>(())
            });
            match done.await {
                // A reader may hold one table and want another.
                Err(error) if error.is_transient() => {}
                done => return done.context("look at the tables"),
            }
        }
    }
}

/// The columns that are written; the others are generated.
fn columns(table: &str) -> &'static str {
    match table {
        "threads" => {
            "thread_id, generation, gc, created_at, metadata, deleted_at, operation, \
             lease_number, lease_token, lease_until, has_head"
        }
        "heads" => "thread_id, checkpoint_ns, checkpoint_id, seq, updated_at",
        "checkpoints" => {
            "thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, seq, \
             checkpoint, channels, metadata"
        }
        "chunks" => "thread_id, hash, content, refs",
        "pending_writes" => {
            "thread_id, checkpoint_ns, checkpoint_id, task_id, idx, task_path, channel, \
             value, written_at"
        }
        _ => "",
    }
}
