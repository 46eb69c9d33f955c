//! The tables, and whether a server can have them.

use db::{Database, Migration, Migrations};

use super::store::Store;
use crate::{Error, Result};

/// The tables, as numbered steps.
pub(super) const MIGRATIONS: Migrations = Migrations::new(
    "checkpointer",
    &[
        Migration {
            number: 1,
            name: "checkpoints",
            sql: include_str!("../../migrations/0001_checkpoints.sql"),
        },
        Migration {
            number: 2,
            name: "leases",
            sql: include_str!("../../migrations/0002_leases.sql"),
        },
        Migration {
            number: 3,
            name: "lz4",
            sql: include_str!("../../migrations/0003_lz4.sql"),
        },
        Migration {
            number: 4,
            name: "renamed_schema",
            sql: include_str!("../../migrations/0004_renamed_schema.sql"),
        },
        Migration {
            number: 5,
            name: "lists",
            sql: include_str!("../../migrations/0005_lists.sql"),
        },
        Migration {
            number: 6,
            name: "comments",
            sql: include_str!("../../migrations/0006_comments.sql"),
        },
        Migration {
            number: 7,
            name: "retention",
            sql: include_str!("../../migrations/0007_retention.sql"),
        },
        Migration {
            number: 8,
            name: "sizes",
            sql: include_str!("../../migrations/0008_sizes.sql"),
        },
        Migration {
            number: 9,
            name: "distributed_schema",
            sql: include_str!("../../migrations/0009_distributed_schema.sql"),
        },
        Migration {
            number: 10,
            name: "thread_bytes",
            sql: include_str!("../../migrations/0010_thread_bytes.sql"),
        },
    ],
);

/// The oldest PostgreSQL whose features the tables use.
const MIN_SERVER_VERSION: u32 = 140_000;

/// Refuses a database that can't have the tables.
pub(super) fn check_server(database: &Database) -> Result<()> {
    let version = database.server_version();
    if version < MIN_SERVER_VERSION {
        return Err(Error::UnsuitableDatabase {
            reason: format!(
                "the server is PostgreSQL {}, at least 14 is needed",
                version / 10_000
            ),
        });
    }
    let encoding = database.server_encoding();
    if encoding != "UTF8" {
        return Err(Error::UnsuitableDatabase {
            reason: format!(
                "its encoding is {encoding}; make one with `CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0`"
            ),
        });
    }
    Ok(())
}

impl Store {
    /// Makes or migrates the tables.
    pub(super) async fn migrate(&self) -> Result<()> {
        self.retry("migrate the tables", || MIGRATIONS.apply(&self.database))
            .await
    }

    /// Checks that the tables are there, and of this version.
    pub(super) async fn verify(&self) -> Result<()> {
        self.retry("verify the tables", || MIGRATIONS.verify(&self.database))
            .await
    }
}
