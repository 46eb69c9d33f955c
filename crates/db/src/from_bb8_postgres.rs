//! What changes for a program that has used `bb8-postgres` so far.
//!
//! # At a glance
//!
//! | `bb8-postgres` | `db` |
//! |---|---|
//! | `Pool::builder().max_size(20).build(manager)` | [`Database::connect(&settings)`](crate::Database::connect), with `DB_POOL_MAX=20` |
//! | `Pool<PostgresConnectionManager<NoTls>>` | [`Database`](crate::Database), with TLS or without |
//! | `pool.get().await?` | [`db.get().await?`](crate::Database::get): the same name |
//! | `RunError<tokio_postgres::Error>` | [`Error`](crate::Error), which says [whether it may pass](crate::Error::is_transient) |
//! | `client.query("SELECT …", &[&id])` | `client.query(&STATEMENT, &[&id])`: a [`Statement`](crate::Statement) has its parameters' types |
//! | `client.prepare(…)`, kept by the caller | nothing: statements are prepared and kept by each connection |
//! | `let tx = client.transaction().await?; … tx.commit().await?` | [`db.transaction(async \|tx\| …)`](crate::Database::transaction), which commits or rolls back |
//! | `C: GenericClient` | [`impl GenericClient`](crate::GenericClient) |
//! | `RecyclingMethod`, `test_on_check_out` | nothing: a connection that isn't clean is cleaned or replaced |
//! | drop the pool | [`db.close(deadline).await?`](crate::Database::close) |
//!
//! # Line by line
//!
//! Before:
//!
//! ```no_run
//! use bb8_postgres::PostgresConnectionManager;
//! use bb8_postgres::bb8::Pool;
//! use bb8_postgres::tokio_postgres::NoTls;
//!
//! type Error = Box<dyn std::error::Error + Send + Sync>;
//!
//! # async fn example() -> Result<(), Error> {
//! let manager = PostgresConnectionManager::new("postgres://app@db/shop".parse()?, NoTls);
//! let pool = Pool::builder().max_size(20).build(manager).await?;
//!
//! let client = pool.get().await?;
//! let row = client
//!     .query_one("SELECT count(*) FROM orders WHERE item = $1", &[&"a kettle"])
//!     .await?;
//! let count: i64 = row.get(0);
//! drop(client);
//!
//! let mut client = pool.get().await?;
//! let transaction = client.transaction().await?;
//! transaction.execute("UPDATE stock SET left = left - 1 WHERE item = $1", &[&"a kettle"]).await?;
//! transaction.execute("INSERT INTO orders (item) VALUES ($1)", &[&"a kettle"]).await?;
//! transaction.commit().await?;
//! # let _ = count;
//! # Ok(())
//! # }
//! ```
//!
//! After:
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use db::{Database, Error, GenericClient, Statement, Type};
//! use settings::Settings;
//!
//! static COUNT: Statement =
//!     Statement::new("SELECT count(*) FROM orders WHERE item = $1", &[Type::TEXT]);
//! static TAKE: Statement =
//!     Statement::new("UPDATE stock SET left = left - 1 WHERE item = $1", &[Type::TEXT]);
//! static ORDER: Statement = Statement::new("INSERT INTO orders (item) VALUES ($1)", &[Type::TEXT]);
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! // DATABASE_URL=postgres://app@db/shop and DB_POOL_MAX=20, from the environment or a `.env` file.
//! let db = Database::connect(&Settings::load()?).await?;
//!
//! let client = db.get().await?;
//! let row = client.query_one(&COUNT, &[&"a kettle"]).await?;
//! let count: i64 = row.get(0);
//! drop(client);
//!
//! db.transaction(async |tx| -> Result<(), Error> {
//!     tx.execute(&TAKE, &[&"a kettle"]).await?;
//!     tx.execute(&ORDER, &[&"a kettle"]).await?;
//!     Ok(())
//! })
//! .await?;
//!
//! db.close(Duration::from_secs(10)).await?;
//! # let _ = count;
//! # Ok(())
//! # }
//! ```
//!
//! # What behaves differently
//!
//! - `connect` proves that the server answers, and waits for one that is starting up. `build` succeeds
//!   without a server, and `get` fails later with a time-out that doesn't say why.
//! - A statement runs no longer than `DB_STATEMENT_TIMEOUT`, 30 seconds if nothing else is set, and waits
//!   for a lock for half of that. With `bb8-postgres` there is no limit.
//! - A transaction's isolation level is read committed, whatever the role's default is.
//! - A failed commit is an error. `COMMIT` of a transaction in which a statement has failed rolls back
//!   and succeeds, and so does `commit` of `tokio-postgres`.
//! - A call whose future is dropped is cancelled on the server.
//! - What `client` offers besides is the driver's own there. Here there is no `copy_in`, `copy_out`,
//!   `query_raw` and `prepare`, nor `LISTEN`: for these connect with `tokio-postgres` beside the pool.
