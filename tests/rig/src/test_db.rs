//! A schema of a test's own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use db::{Database, Migration, Migrations, quote_identifier};
use settings::Settings;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

use crate::{TcpProxy, client, eventually, settings_for};

/// Schemas of earlier runs are kept for inspection, and removed after this.
const KEPT_FOR: Duration = Duration::from_secs(60 * 60);

/// A table `notes (id, body)`.
pub const NOTES: Migrations = Migrations::new(
    "notes",
    &[Migration {
        number: 1,
        name: "notes",
        sql: "CREATE TABLE {schema}.notes (id bigint PRIMARY KEY, body text NOT NULL)",
    }],
);

/// A schema that no other test uses.
///
/// It isn't removed at the end, so that the schema of a test that failed can be
/// looked at; a later run sweeps it.
#[derive(Debug)]
pub struct TestDb {
    schema: String,
}

impl TestDb {
    /// Makes the schema.
    pub async fn new() -> Self {
        let db = Self::without_schema().await;
        let sql = format!("CREATE SCHEMA {}", db.schema);
        db.observer().await.batch_execute(&sql).await.unwrap();
        db
    }

    /// Only names it.
    pub async fn without_schema() -> Self {
        static SWEPT: OnceCell<()> = OnceCell::const_new();
        SWEPT.get_or_init(sweep).await;
        let schema = format!("test_{}_{:08x}", now().as_secs(), fastrand::u32(..));
        Self { schema }
    }

    /// The schema's name.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The settings, with further variables.
    ///
    /// The application's name is the schema's, which tells the test's
    /// connections from all others in `pg_stat_activity`.
    pub fn settings(&self, variables: &[(&str, &str)]) -> Settings {
        self.settings_for(&url(), variables)
    }

    /// The same by way of a proxy.
    pub fn settings_through(&self, proxy: &TcpProxy, variables: &[(&str, &str)]) -> Settings {
        self.settings_for(proxy.url(), variables)
    }

    /// The same for another server.
    pub fn settings_for(&self, url: &str, variables: &[(&str, &str)]) -> Settings {
        let own = [
            ("DB_SCHEMA", &*self.schema),
            ("DB_APPLICATION_NAME", &*self.schema),
        ];
        let all: Vec<_> = own.iter().chain(variables).copied().collect();
        settings_for(url, &all)
    }

    /// Connects with the settings.
    pub async fn connect(&self, variables: &[(&str, &str)]) -> Database {
        Database::connect(&self.settings(variables)).await.unwrap()
    }

    /// The driver's own connection, to look from outside.
    pub async fn observer(&self) -> Client {
        client(&url()).await.unwrap()
    }

    /// How many connections of this test the server knows that match a
    /// condition on `pg_stat_activity`.
    pub async fn backends(&self, observer: &Client, condition: &str) -> i64 {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND {condition}"
        );
        observer
            .query_one(&sql, &[&self.schema])
            .await
            .unwrap()
            .get(0)
    }

    /// Waits until so many calls of this test, or more, wait for a lock.
    pub async fn until_blocked(&self, calls: i64) {
        let observer = self.observer().await;
        eventually("they wait for a lock", async || {
            self.backends(&observer, "wait_event_type = 'Lock'").await >= calls
        })
        .await;
    }

    /// A table `notes (id, body)` in the schema.
    pub async fn with_notes(&self, db: &Database) {
        NOTES.apply(db).await.unwrap();
    }
}

/// The server that the tests run against.
pub fn url() -> String {
    match std::env::var("DATABASE_URL") {
        Ok(url) => url,
        Err(_) => panic!(
            "DATABASE_URL is not set: run `cargo xtask db-up`, \
             then `export DATABASE_URL=$(cargo xtask db-url)`"
        ),
    }
}

/// Removes the schemas of runs that ended long ago.
async fn sweep() {
    let client = client(&url()).await.unwrap();
    let old = format!("test_{}", (now() - KEPT_FOR).as_secs());
    let sql =
        "SELECT nspname FROM pg_namespace WHERE nspname ~ '^test_[0-9]{10}_' AND nspname < $1";
    for row in client.query(sql, &[&old]).await.unwrap() {
        let schema: &str = row.get(0);
        // Another process may be faster.
        let _ = client
            .batch_execute(&format!(
                "DROP SCHEMA IF EXISTS {} CASCADE",
                quote_identifier(schema)
            ))
            .await;
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
