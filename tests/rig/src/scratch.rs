//! A schema of its own for one run of a program.

use std::env;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use checkpointer::PostgresCheckpointer;
use db::{Database, GenericClient, quote_identifier};
use settings::Settings;

/// How long the schema's connections have to finish.
const CLOSES_WITHIN: Duration = Duration::from_secs(10);

/// A database with a schema of its own, on the server that the environment names.
#[derive(Debug)]
pub struct Scratch {
    database: Database,
}

impl Scratch {
    /// Connects, with the variables of the environment but for `DB_SCHEMA`.
    pub async fn connect() -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let since = since.map_or(0, |since| since.as_micros());
        let name = format!("scratch_{since}_{:08x}", fastrand::u32(..));
        let variables = env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .chain([("DB_SCHEMA".to_owned(), name)]);
        let settings = Settings::from_iter(variables);
        let settings = settings.context("read the settings")?;
        let database = Database::connect(&settings).await;
        let database = database.context("connect to the server")?;
        Ok(Self { database })
    }

    /// Returns the database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Removes the schema with everything in it, and closes the connections.
    pub async fn remove(self) -> Result<()> {
        let schema = quote_identifier(PostgresCheckpointer::migrations().schema(&self.database));
        let removed = async {
            let connection = self.database.get().await?;
            let sql = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
            connection.batch_execute(&sql).await?;
            drop(connection);
            self.database.close(CLOSES_WITHIN).await
        };
        removed.await.context("remove the schema")
    }
}
