//! A thread that goes back in time, as all do at a failover to a standby that was behind, or when
//! an older state is restored.

use anyhow::{Context as _, Result};
use checkpointer::PostgresCheckpointer;
use db::{Database, GenericClient, Statement, Type, quote_identifier};

use crate::columns::written_columns;

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
        let mut written = Vec::new();
        for table in TABLES {
            written.push((
                table,
                columns(&database, &format!("{schema}.{table}")).await?,
            ));
        }
        let of_each = |template: &str| -> Vec<String> {
            let parts = written.iter().map(|(table, columns)| {
                let own = template.replace("{table}", table);
                let own = own.replace("{columns}", columns);
                own.replace("{schema}", &schema)
            });
            parts.collect()
        };
        let past = of_each("CREATE TABLE past.{table} (LIKE {schema}.{table})").join(";\n");
        let made = async {
            let sql = format!("CREATE SCHEMA past;\n{past}");
            database.get().await?.batch_execute(&sql).await
        };
        made.await.context("look at the tables")?;

        let statement = |sql: String| Statement::from_parts(sql, vec![Type::TEXT]);
        // One statement, and so one state of all the tables.
        let remember = of_each(
            "{table}_gone AS (DELETE FROM past.{table} WHERE thread_id = $1),
{table}_now AS (INSERT INTO past.{table}
    SELECT * FROM {schema}.{table} WHERE thread_id = $1)",
        );
        let remember = remember.join(",\n");
        let bring_back = [
            of_each("DELETE FROM {schema}.{table} WHERE thread_id = $1"),
            of_each(
                "INSERT INTO {schema}.{table} ({columns})
                 SELECT {columns} FROM past.{table} WHERE thread_id = $1",
            ),
        ];
        Ok(Self {
            remember: statement(format!("-- rig::remember\nWITH {remember}\nSELECT 1")),
            // No statement is under way when a server is lost: all wait here, and read what is
            // there afterwards.
            lock: Statement::from_parts(
                format!("LOCK TABLE {}", of_each("{schema}.{table}").join(", ")),
                Vec::new(),
            ),
            bring_back: bring_back.into_iter().flatten().map(statement).collect(),
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

/// The columns of a table that are written.
async fn columns(database: &Database, table: &str) -> Result<String> {
    let asked = async {
        let statement = Statement::from_parts(written_columns(table), Vec::new());
        database.get().await?.query_one(&statement, &[]).await
    };
    Ok(asked.await.context("look at the tables")?.get(0))
}
