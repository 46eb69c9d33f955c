//! A PostgreSQL connection pool with a lifecycle, migrations and honest errors.
//!
//! It knows nothing of what is stored; its settings come from the `settings` crate. There are two
//! ways in, over the same pool:
//!
//! - [`Database`] is a cheap handle, for programs that pass it around.
//! - [`init_db`], [`get_connection`] and [`close_db`] keep one for the whole process, for
//!   applications that like it that way.
//!
//! [`Database`] can be cloned into every task and handler; all clones acquire connections of one
//! pool. A [`Connection`] is returned when it is dropped, in whatever state it is: there is nothing
//! to tidy up after a call that failed or was abandoned. At the end [`Database::close`] lets what
//! depends on the database finish, and closes the pool, all within a deadline.
//!
//! # Examples
//!
//! A handle that is passed around:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use db::{Database, GenericClient, Statement, Type};
//! use settings::Settings;
//!
//! static COUNT: Statement = Statement::new(
//!     "-- orders::count
//!      SELECT count(*) FROM shop.orders WHERE item = $1",
//!     &[Type::TEXT],
//! );
//!
//! async fn count(db: &Database, item: &str) -> db::Result<i64> {
//!     let connection = db.get().await?;
//!     Ok(connection.query_one(&COUNT, &[&item]).await?.get(0))
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let db = Database::connect(&Settings::load()?).await?;
//! let handle = db.clone();
//! let kettles = tokio::spawn(async move { count(&handle, "a kettle").await });
//! println!("{} cups, {} kettles", count(&db, "a cup").await?, kettles.await??);
//! db.close(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! One for the whole process, with migrations and a transaction:
//!
//! ```no_run
//! use db::{Database, Error, GenericClient, Migration, Migrations, Statement, Type};
//! use settings::Settings;
//!
//! const MIGRATIONS: Migrations = Migrations::new(
//!     "shop",
//!     &[Migration {
//!         number: 1,
//!         name: "orders",
//!         sql: "CREATE TABLE {schema}.orders (id bigint PRIMARY KEY, item text NOT NULL);",
//!     }],
//! );
//!
//! static INSERT: Statement = Statement::new(
//!     "-- orders::insert
//!      INSERT INTO shop.orders (id, item) VALUES ($1, $2)",
//!     &[Type::INT8, Type::TEXT],
//! );
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let db: Database = db::init_db(&Settings::load()?).await?;
//! MIGRATIONS.apply(&db).await?;
//!
//! let connection = db::get_connection().await?;
//! connection.execute(&INSERT, &[&1_i64, &"a kettle"]).await?;
//! drop(connection);
//!
//! db.transaction(async |tx| -> Result<(), Error> {
//!     tx.execute(&INSERT, &[&2_i64, &"a cup"]).await?;
//!     tx.execute(&INSERT, &[&3_i64, &"a saucer"]).await?;
//!     Ok(())
//! })
//! .await?;
//!
//! db::close_db().await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`from_bb8_postgres`] is for those who come from there.
//!
//! # What it guarantees
//!
//! - [`Database::connect`] proves that the server answers. It waits for one that may come up, and
//!   says at once what waiting won't mend.
//! - What was done with a connection is never noticed by those who use it next: an open
//!   transaction, a changed session, a call whose future was dropped. A clean connection is used
//!   again without a word to the server.
//! - A transaction's body runs once. `Ok` means that it was committed, and an error that it wasn't,
//!   unless [`Error::is_outcome_unknown`] says otherwise.
//! - No call waits for ever. A connection whose answer is overdue is discarded:
//!   `DB_NETWORK_TIMEOUT` after `DB_STATEMENT_TIMEOUT`, or earlier if the other system doesn't
//!   acknowledge what is sent. (Without a statement time-out only the latter is noticed.)
//! - The pool fills up again by itself after an outage. After a failover it finds the new primary,
//!   if the settings name several hosts and `target_session_attrs=read-write`.
//! - Any future may be dropped at any time. What it started on the server ends, by itself or by a
//!   cancel request.
//! - Any number of processes may apply the same [`Migrations`] at once.
//! - [`Database::close`] leaves no socket open.
//!
//! # Pool modes
//!
//! In `session` mode each statement is prepared once per connection, and up to 256 are kept. The
//! server enforces the statement time-out. A statement that waits for one lock for half of that
//! time fails with `55P03`, which [is transient](Error::is_transient): the lock's holder is to
//! blame, not the statement. Each connection is opened with start-up options and asked for them, so
//! a pooler that shares its sessions between clients is refused: with one, set the other mode.
//!
//! In `transaction` mode, for a pooler that hands out a server connection per transaction, nothing
//! depends on a session. Each connection finds out whether the pooler manages prepared statements,
//! as PgBouncer does since 1.21, and by default since 1.24. If it does, statements are prepared as
//! in `session` mode. One that the pooler can't prepare any more, because DDL has changed what it
//! returns, is sent unprepared from then on; a transaction in which that is found out fails. If the
//! pooler doesn't, statements are sent with the types of their parameters in one round trip and
//! leave nothing behind, as long as their types are PostgreSQL's own: the driver looks up any other
//! with a statement that it prepares. The statement time-out is kept here, with a cancel
//! request, and the limit for locks only within a transaction. (For other statements `ALTER ROLE …
//! SET lock_timeout` sets one.)
//!
//! # TLS
//!
//! By rustls, as the settings say in libpq's words. A [`ConnectFailure`] says which check failed;
//! it ends [`Database::connect`] at once. Certificates and keys are read for each connection, so
//! that renewed ones count without a restart. In the log the event `connected` has the protocol's
//! version as `tls`, or `off`. A cancel request is encrypted if its connection is.
//!
//! # Logs
//!
//! Everything goes to `tracing`, under the target `db`: connecting, migrating and closing as
//! `info`, failures of the connection and the pool as `warn`, failed statements and the server's
//! notices as `debug`, acquiring as `trace`, each failure with its causes. No password is logged,
//! no parameter, and not what the server quotes of rows. The driver itself logs parameters through
//! the `log` crate as `debug`: a subscriber that listens to that should keep `tokio_postgres` at
//! `info`.
//!
//! # Metrics
//!
//! To the recorder of the `metrics` crate, if there is one, go the connections in use and idle, the
//! callers that wait and for how long, attempts to connect, and why connections ended.
//! `docs/observability.md` lists them, and has alerts.

// What programs call.
mod after_commit;
mod backoff;
mod client;
mod close;
mod connection;
mod database;
mod error;
mod identifier;
mod lifecycle;
mod migrate;
mod retry;
mod statement;
mod transaction;

// What is behind it.
mod cancel;
mod condition;
mod connect;
mod connect_failure;
mod dependents;
mod driver;
mod driver_transaction;
mod link;
mod manager;
mod meter;
mod pooler;
mod preparation;
mod refusal;
mod runtime;
mod shared;
mod tenure;
mod tls;
mod verdict;
mod watch;

#[cfg(test)]
mod tests;

pub mod from_bb8_postgres;

pub use settings::PoolMode;
/// The driver, in the version that [`GenericClient`] takes transactions of.
pub use tokio_postgres;
pub use tokio_postgres::error::SqlState;
pub use tokio_postgres::types::{FromSql, ToSql, Type};
pub use tokio_postgres::{Row, types};

pub use crate::backoff::Backoff;
pub use crate::client::GenericClient;
pub use crate::connect_failure::ConnectFailure;
pub use crate::connection::Connection;
pub use crate::database::{Database, Retries, State};
pub use crate::error::{Chain, Error, Result};
pub use crate::identifier::quote_identifier;
pub use crate::lifecycle::{close_db, get_connection, init_db};
pub use crate::migrate::{Migration, Migrations};
pub use crate::retry::Retry;
pub use crate::statement::Statement;
pub use crate::tls::TlsFileProblem;
pub use crate::transaction::Transaction;
