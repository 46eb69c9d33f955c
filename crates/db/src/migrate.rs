//! Migrations: the steps that make a schema what a program needs.

use std::fmt::Write;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tracing::info;

use crate::identifier::in_schema;
use crate::{
    Database, Error, GenericClient, Result, Statement, Transaction, Type, quote_identifier, verdict,
};

/// Behind the set's name in the name of its version table.
const TABLE_SUFFIX: &str = "_migrations";

/// The longest identifier that PostgreSQL doesn't cut off.
const LONGEST_IDENTIFIER: usize = 63;

/// A process may wait long for another that is migrating.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The longest limit that the server takes.
const LONGEST_LOCK_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// One that migrates must not wait long for a table, because everybody else queues behind it.
const DDL_LOCK_TIMEOUT: &str = "10s";

/// How long a statement of a migration may run.
const MIGRATION_LIMIT: Duration = Duration::from_secs(60 * 60);

/// The limits here, where a server that went silent has to be noticed: how much longer than the
/// server another process is waited for, and what anything else may take.
const GRACE: Duration = Duration::from_secs(10);
const STEP_LIMIT: Duration = Duration::from_secs(60);

static LOCK: Statement = Statement::new(
    "-- db::lock_migrations
     SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
    &[Type::TEXT],
);

/// `to_regclass` would answer from the session's cache, which may be older than what another
/// process did while its lock was waited for.
static EXISTS: Statement = Statement::new(
    "-- db::find_migrations
     SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace
                    WHERE nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name),
            EXISTS (SELECT FROM pg_catalog.pg_class AS c
                    JOIN pg_catalog.pg_namespace AS n
                      ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
                    WHERE n.nspname OPERATOR(pg_catalog.=) $1::pg_catalog.name
                      AND c.relname OPERATOR(pg_catalog.=) $2::pg_catalog.name)",
    &[Type::TEXT, Type::TEXT],
);

/// Whether it is the role, or what the program asked for, that makes transactions read-only: a
/// server that is read-only itself may be in the middle of a failover.
static READ_ONLY_ROLE: Statement = Statement::new(
    "-- db::find_read_only_role
     SELECT EXISTS (SELECT FROM pg_catalog.pg_settings
                    WHERE name OPERATOR(pg_catalog.=) 'default_transaction_read_only'
                      AND setting OPERATOR(pg_catalog.=) 'on'
                      AND source IN ('database', 'user', 'database user', 'client'))
            AND NOT pg_catalog.pg_is_in_recovery()",
    &[],
);

/// One step of a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its place, from 1 without gaps.
    pub number: i32,
    /// What it does, in a word or two.
    pub name: &'static str,
    /// Its SQL, with `{schema}` where the quoted schema belongs. Once released it must never be
    /// changed, save for its line endings.
    pub sql: &'static str,
}

/// A named set of migrations, which keeps its own account of what was applied.
///
/// The account is the table `<set>_migrations` in the [schema](Database::schema) of the database's
/// handle, or in one that is named like the set if there is none. What is missing is applied in one
/// transaction, by one process at a time, so any number of them may start at once. It works in both
/// pool modes.
///
/// # Examples
///
/// ```no_run
/// use db::{Migration, Migrations};
///
/// const MIGRATIONS: Migrations = Migrations::new(
///     "shop",
///     &[Migration {
///         number: 1,
///         name: "orders",
///         sql: "CREATE TABLE {schema}.orders (id bigint PRIMARY KEY, item text NOT NULL);",
///     }],
/// );
///
/// # async fn example(db: &db::Database) -> db::Result<()> {
/// MIGRATIONS.apply(db).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrations {
    set: &'static str,
    migrations: &'static [Migration],
    lock_timeout: Duration,
}

impl Migrations {
    /// Names a set of migrations.
    ///
    /// # Panics
    ///
    /// While compiling, if it makes a constant: if the numbers aren't 1, 2, 3 …, or if the set's
    /// name is empty or longer than 52 bytes.
    pub const fn new(set: &'static str, migrations: &'static [Migration]) -> Self {
        assert!(
            !set.is_empty() && set.len() <= LONGEST_IDENTIFIER - TABLE_SUFFIX.len(),
            "a set's name has 1 to 52 bytes"
        );
        let mut i = 0;
        while i < migrations.len() {
            assert!(
                migrations[i].number as usize == i + 1,
                "migrations are numbered from 1 without gaps"
            );
            i += 1;
        }
        Self {
            set,
            migrations,
            lock_timeout: LOCK_TIMEOUT,
        }
    }

    /// Chooses how long [`apply`](Self::apply) waits for another process that is migrating, 24
    /// days at most. Defaults to 5 minutes.
    #[must_use]
    pub const fn lock_timeout(self, lock_timeout: Duration) -> Self {
        Self {
            lock_timeout,
            ..self
        }
    }

    /// The schema that holds the tables in this database, not yet quoted: that of the
    /// [handle](Database::in_schema), or else one that is named like the set.
    pub fn schema<'a>(&self, db: &'a Database) -> &'a str {
        db.schema().unwrap_or(self.set)
    }

    /// Applies the migrations that the database lacks: all of them, or none if one fails.
    ///
    /// The schema is made if it doesn't exist. If nothing is missing, no right to create anything
    /// is needed. Whatever the settings say of statements, each one of a migration has an hour; what
    /// takes longer is better applied by hand, from [`sql`](Self::sql).
    ///
    /// # Errors
    ///
    /// [`Error::Query`] that [is transient](Error::is_transient) if another process migrates for
    /// longer than [`lock_timeout`](Self::lock_timeout). [`Error::Migration`] names the one that
    /// failed. The database is refused as [`verify`](Self::verify) does, save that it may be older.
    /// A table that stays locked by another session for 10 seconds is an [`Error::Migration`] that
    /// [is transient](Error::is_transient). [`Error::MigrationDenied`] if the role may not make
    /// what is missing.
    ///
    /// # Cancel safety
    ///
    /// If dropped, either all that was missing is applied or nothing. Calling again is harmless.
    pub async fn apply(&self, db: &Database) -> Result<()> {
        let schema = self.schema(db);
        let mut connection = db.get().await?;
        connection.limit_statements(STEP_LIMIT);
        connection
            .transaction(async |tx| -> Result<()> {
                let wait = self.lock_timeout.min(LONGEST_LOCK_TIMEOUT);
                // The server counts in milliseconds, and takes 0 for no limit.
                let milliseconds = wait.as_millis().max(1);
                tx.batch_execute(&format!(
                    "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '{milliseconds}ms'"
                ))
                .await?;
                let set = self.set;
                tx.limited_to(wait + GRACE)
                    .query(&LOCK, &[&format!("migrations of {set} in {schema}")])
                    .await?;
                let seconds = MIGRATION_LIMIT.as_secs();
                tx.batch_execute(&format!(
                    "SET LOCAL statement_timeout = '{seconds}s'; \
                     SET LOCAL lock_timeout = '{DDL_LOCK_TIMEOUT}'"
                ))
                .await?;
                let missing = &self.migrations[self.applied(tx, schema).await?.len()..];
                if missing.is_empty() {
                    return Ok(());
                }
                let read_only: bool = tx.query_one(&READ_ONLY_ROLE, &[]).await?.get(0);
                self.apply_all(tx, schema, missing)
                    .await
                    .map_err(|source| self.denied(source, read_only))
            })
            .await
    }

    async fn apply_all(
        &self,
        tx: &Transaction<'_>,
        schema: &str,
        missing: &[Migration],
    ) -> Result<()> {
        for migration in missing {
            if migration.number == 1 {
                self.create_table(tx, schema).await?;
            }
            self.apply_one(tx, schema, migration).await?;
        }
        Ok(())
    }

    /// Says what to do if the role is to blame.
    fn denied(&self, source: Error, read_only: bool) -> Error {
        let is_denied = source
            .code()
            .is_some_and(|code| verdict::is_denied(code, read_only));
        if !is_denied {
            return source;
        }
        Error::MigrationDenied {
            set: self.set,
            source: Box::new(source),
        }
    }

    /// Checks that the database has exactly the migrations of this program, for programs whose role
    /// may not change the schema.
    ///
    /// # Errors
    ///
    /// [`Error::DatabaseOlder`] if some are missing, [`Error::DatabaseNewer`] if it has more,
    /// [`Error::MigrationChanged`] if one isn't what was applied, [`Error::MigrationGap`] if its
    /// account isn't complete.
    ///
    /// # Cancel safety
    ///
    /// Harmless: it only reads.
    pub async fn verify(&self, db: &Database) -> Result<()> {
        let schema = self.schema(db);
        let applied = db
            .transaction(async |tx| -> Result<Vec<Applied>> { self.applied(tx, schema).await })
            .await?;
        if applied.len() < self.migrations.len() {
            return Err(Error::DatabaseOlder {
                set: self.set,
                schema: schema.to_owned(),
                database: applied.last().map_or(0, |last| last.number),
                program: self.last(),
            });
        }
        Ok(())
    }

    /// The SQL that does to an empty database what [`apply`](Self::apply) does, for people who
    /// apply it by hand.
    pub fn sql(&self, schema: &str) -> String {
        self.sql_after(schema, 0)
    }

    /// The SQL that does the rest to a database that has the migrations up to number `applied`: the
    /// greatest one in its version table, which [`Error::DatabaseOlder`] names as well. If nothing
    /// is missing it is empty.
    pub fn sql_after(&self, schema: &str, applied: i32) -> String {
        let missing = self.migrations.iter().filter(|m| m.number > applied);
        if missing.clone().next().is_none() {
            return String::new();
        }
        let mut sql = String::from("BEGIN;\n");
        let table = self.table(schema);
        if applied <= 0 {
            let _ = writeln!(
                sql,
                "\nCREATE SCHEMA IF NOT EXISTS {};\n\n{};",
                quote_identifier(schema),
                table_ddl(&table)
            );
        }
        for migration in missing {
            let Migration { number, name, .. } = migration;
            let _ = write!(
                sql,
                "\n-- {number}: {name}\n\n{}\n\n\
                 INSERT INTO {table} (number, name, checksum)\n    VALUES ({number}, {}, '{}');\n",
                migration.terminated(schema),
                quote_literal(name),
                migration.checksum(),
            );
        }
        sql.push_str("\nCOMMIT;\n");
        sql
    }

    /// What the database has, if it agrees with what the program has.
    async fn applied(&self, tx: &Transaction<'_>, schema: &str) -> Result<Vec<Applied>> {
        let found = tx
            .query_one(&EXISTS, &[&schema, &self.table_name()])
            .await?;
        if !found.get::<_, bool>(1) {
            return Ok(Vec::new());
        }
        let table = self.table(schema);
        let select = Statement::from_parts(
            format!("-- db::read_migrations\nSELECT number, checksum FROM {table} ORDER BY number"),
            Vec::new(),
        );
        let applied = tx
            .query(&select, &[])
            .await?
            .iter()
            .map(|row| Applied {
                number: row.get(0),
                checksum: row.get(1),
            })
            .collect();
        self.compare(schema, applied)
    }

    fn compare(&self, schema: &str, applied: Vec<Applied>) -> Result<Vec<Applied>> {
        let set = self.set;
        if let Some(last) = applied.last().filter(|last| last.number > self.last()) {
            return Err(Error::DatabaseNewer {
                set,
                schema: schema.to_owned(),
                database: last.number,
                program: self.last(),
            });
        }
        for (applied, known) in applied.iter().zip(self.migrations) {
            let Migration { number, name, .. } = *known;
            if applied.number != number {
                return Err(Error::MigrationGap { set, number });
            }
            if applied.checksum != known.checksum() {
                return Err(Error::MigrationChanged { set, number, name });
            }
        }
        Ok(applied)
    }

    async fn create_table(&self, tx: &Transaction<'_>, schema: &str) -> Result<()> {
        // Asked first, because `IF NOT EXISTS` needs the right to create one even where it exists.
        if !self.schema_exists(tx, schema).await? {
            // Another set may be about to make the same schema.
            tx.query(&LOCK, &[&format!("schema {schema}")]).await?;
            if !self.schema_exists(tx, schema).await? {
                let quoted = quote_identifier(schema);
                tx.batch_execute(&format!("CREATE SCHEMA {quoted}")).await?;
            }
        }
        tx.batch_execute(&table_ddl(&self.table(schema))).await
    }

    async fn schema_exists(&self, tx: &Transaction<'_>, schema: &str) -> Result<bool> {
        let found = tx
            .query_one(&EXISTS, &[&schema, &self.table_name()])
            .await?;
        Ok(found.get(0))
    }

    async fn apply_one(
        &self,
        tx: &Transaction<'_>,
        schema: &str,
        migration: &Migration,
    ) -> Result<()> {
        let Migration { number, name, .. } = *migration;
        let insert = Statement::from_parts(
            format!(
                "-- db::record_migration\n\
                 INSERT INTO {} (number, name, checksum) VALUES ($1, $2, $3)",
                self.table(schema)
            ),
            vec![Type::INT4, Type::TEXT, Type::TEXT],
        );
        let run = async {
            tx.limited_to(MIGRATION_LIMIT)
                .batch_execute(&migration.in_schema(schema))
                .await?;
            tx.execute(&insert, &[&number, &name, &migration.checksum()])
                .await
        };
        run.await.map_err(|source| Error::Migration {
            set: self.set,
            number,
            name,
            source: Box::new(source),
        })?;
        info!(set = self.set, schema, number, name, "applied a migration");
        Ok(())
    }

    /// The quoted name of the version table.
    fn table(&self, schema: &str) -> String {
        let table = quote_identifier(&self.table_name());
        format!("{}.{table}", quote_identifier(schema))
    }

    fn table_name(&self) -> String {
        format!("{}{TABLE_SUFFIX}", self.set)
    }

    fn last(&self) -> i32 {
        self.migrations.last().map_or(0, |last| last.number)
    }
}

/// A row of the version table.
struct Applied {
    number: i32,
    checksum: String,
}

impl Migration {
    /// The SQL as one may put more behind it.
    fn terminated(&self, schema: &str) -> String {
        let sql = self.in_schema(schema);
        let sql = sql.trim();
        // On a line of its own, in case the last one is a comment.
        let end = if sql.ends_with(';') { "" } else { "\n;" };
        format!("{sql}{end}")
    }

    fn in_schema(&self, schema: &str) -> String {
        in_schema(self.sql, schema)
    }

    /// What `sha256sum` says of the file, had it Unix line endings.
    fn checksum(&self) -> String {
        let digest = Sha256::digest(self.sql.replace("\r\n", "\n"));
        digest.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

fn table_ddl(table: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS {table} (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
COMMENT ON TABLE {table} IS 'The migrations that were applied to this schema';
COMMENT ON COLUMN {table}.number IS 'The number of the migration, from 1 without gaps';
COMMENT ON COLUMN {table}.name IS 'What the migration does';
COMMENT ON COLUMN {table}.checksum IS 'The SHA-256 of its SQL: once applied it must not change';
COMMENT ON COLUMN {table}.applied_at IS 'When it was applied'"
    )
}

fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
