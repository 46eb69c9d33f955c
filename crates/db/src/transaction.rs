//! Transactions.

use std::time::Duration;

use settings::PoolMode;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tracing::warn;

use crate::after_commit::AfterCommit;
use crate::client::GenericClient;
use crate::client::sealed::Client;
use crate::connect::lock_limit;
use crate::error::Chain;
use crate::verdict::Uncommitted;
use crate::watch::{Call, Limit, Scope};
use crate::{Connection, Error, Result, Statement, statement};

/// A savepoint can't be made in a transaction that has failed, nor outside of one. `COMMIT` alone
/// succeeds in both cases: it reports them by a tag that the driver hides, or by a warning that can
/// be switched off.
const COMMIT: &str = "SAVEPOINT db_commit; COMMIT";

/// An open transaction. [`GenericClient`] has the methods that run statements.
///
/// It ends with the body that it was given to: [`Connection::transaction`].
#[derive(Debug)]
pub struct Transaction<'a> {
    connection: &'a Connection,
    after_commit: &'a AfterCommit,
    /// How long a statement may run, if not as long as any of the connection.
    limit: Option<Duration>,
}

impl Connection {
    /// Runs `body` in a transaction: commits if it returns `Ok`, rolls back if it returns `Err`. It
    /// runs once, whatever happens. The isolation level is read committed, whatever the role's
    /// default is; `SET TRANSACTION` as the body's first statement chooses another.
    ///
    /// While the body runs it has one connection, and must not wait for another one of the same
    /// pool: if enough bodies do so at once they hold all connections and wait for each other,
    /// until `DB_ACQUIRE_TIMEOUT` ends it. So what is done meanwhile by way of the
    /// [`Database`](crate::Database), a crate that is built on it included, is better done before
    /// or after.
    ///
    /// # Errors
    ///
    /// What `body` returned. [`Error::TransactionFailed`] if it returned `Ok` although a statement
    /// had failed, [`Error::TransactionEnded`] if it ended the transaction by raw SQL (unless it
    /// began another at once, which can't be seen), [`Error::OutcomeUnknown`] if the connection was
    /// lost during the commit or [the server's code leaves it open](Error::is_outcome_unknown), and
    /// [`Error::Query`] if the server refused to commit.
    ///
    /// # Cancel safety
    ///
    /// If dropped before the commit is sent, nothing takes effect: it is rolled back when the
    /// connection is used again or returned. If dropped after that, it may or may not take effect.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use db::{Error, GenericClient, Statement, Type};
    /// # static DEBIT: Statement = Statement::new("", &[]);
    /// # static CREDIT: Statement = Statement::new("", &[]);
    /// # async fn example(db: &db::Database) -> db::Result<()> {
    /// let mut connection = db.get().await?;
    /// let rows = connection
    ///     .transaction(async |tx| -> Result<u64, Error> {
    ///         Ok(tx.execute(&DEBIT, &[&1_i64]).await? + tx.execute(&CREDIT, &[&2_i64]).await?)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn transaction<T, E, F>(&mut self, body: F) -> Result<T, E>
    where
        F: AsyncFnOnce(&Transaction<'_>) -> Result<T, E>,
        E: From<Error>,
    {
        self.settle().await?;
        self.begin().await?;
        let after_commit = AfterCommit::default();
        let transaction = Transaction {
            connection: self,
            after_commit: &after_commit,
            limit: None,
        };
        match body(&transaction).await {
            Ok(value) => {
                self.commit().await?;
                after_commit.run();
                Ok(value)
            }
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    async fn begin(&self) -> Result<()> {
        self.link().condition().set_transaction(true);
        self.link()
            .batch(self.call("BEGIN", Scope::Transaction), &self.opening())
            .await
    }

    /// Begins with the isolation level that is documented, whatever the role's default is: a
    /// statement that waits for a lock must then see what was committed meanwhile. And with the
    /// limit for locks that the start-up options set in pool mode `session`.
    fn opening(&self) -> String {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
        match (self.link().mode(), self.statement_timeout()) {
            (PoolMode::Transaction, Some(limit)) => {
                let limit = lock_limit(limit).as_millis();
                format!("{BEGIN}; SET LOCAL lock_timeout = {limit}")
            }
            _ => BEGIN.to_owned(),
        }
    }

    async fn commit(&self) -> Result<()> {
        let condition = self.link().condition();
        let call = self.call("COMMIT", Scope::Alone);
        let (statement, source) = match self.link().batch(call, COMMIT).await {
            Ok(()) => {
                condition.set_transaction(false);
                return Ok(());
            }
            Err(Error::Query { statement, source }) => (statement, source),
            Err(error) => return Err(error),
        };
        let verdict = Uncommitted::of(&source);
        if verdict == Uncommitted::Ended {
            condition.set_transaction(false);
            return Err(Error::TransactionEnded { source });
        }
        self.roll_back().await;
        Err(match verdict {
            Uncommitted::Failed => Error::TransactionFailed { source },
            _ => Error::Query { statement, source },
        })
    }

    /// Rolls back. If that fails, the connection is discarded.
    async fn roll_back(&self) {
        let condition = self.link().condition();
        match self
            .link()
            .batch(self.call("ROLLBACK", Scope::Transaction), "ROLLBACK")
            .await
        {
            Ok(()) => {
                condition.set_transaction(false);
            }
            Err(error) => {
                warn!(error = %Chain(&error), "failed to roll back, discarding the connection");
                condition.set_spoilt();
            }
        }
    }
}

impl GenericClient for Transaction<'_> {}

impl Client for Transaction<'_> {
    async fn rows(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64)> {
        if statement.changes_session() {
            self.rolls_back_by(statement.sql());
        }
        let call = self.call(statement.name());
        self.connection.run(call, statement, params).await
    }

    async fn batch(&self, sql: &str) -> Result<()> {
        self.rolls_back_by(sql);
        let call = self.call(statement::name(sql));
        self.connection.run_batch(call, sql).await
    }
}

impl Transaction<'_> {
    /// Calls a function once the transaction is known to be committed, before the call returns that
    /// runs it. The functions are called in their order.
    ///
    /// The function is dropped without being called if the transaction is rolled back, if its future
    /// is dropped, or if the outcome of its commit is unknown. It is also dropped if SQL that
    /// follows it has the word `ROLLBACK` or `ABORT`: with a savepoint, SQL can take back a part of
    /// the transaction, and the rest is committed.
    ///
    /// It is for what the program remembers, such as an entry of a cache. What must happen after
    /// each commit belongs into a table of the same transaction, because the program can be killed
    /// before the function is called.
    ///
    /// # Panics
    ///
    /// A panic of the function is passed on. The transaction is committed then.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// use db::{Database, Error, GenericClient, Statement, Type};
    ///
    /// static INSERT: Statement =
    ///     Statement::new("INSERT INTO orders (item) VALUES ($1)", &[Type::TEXT]);
    ///
    /// async fn order(db: &Database, stored: &Arc<AtomicU64>) -> db::Result<()> {
    ///     db.transaction(async |tx| -> Result<(), Error> {
    ///         tx.execute(&INSERT, &[&"a kettle"]).await?;
    ///         let stored = Arc::clone(stored);
    ///         tx.after_commit(move || {
    ///             stored.fetch_add(1, Ordering::Relaxed);
    ///         });
    ///         Ok(())
    ///     })
    ///     .await
    /// }
    /// ```
    pub fn after_commit(&self, call: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(call));
    }

    /// Forgets what was to be done after the commit, if SQL may take back what it is about.
    fn rolls_back_by(&self, sql: &str) {
        if statement::mentions_rollback(sql) {
            self.after_commit.clear();
        }
    }

    /// The same transaction with another limit for its statements, as far as this crate keeps it
    /// and not the server.
    pub(crate) fn limited_to(&self, limit: Duration) -> Transaction<'_> {
        Transaction {
            connection: self.connection,
            after_commit: self.after_commit,
            limit: Some(limit),
        }
    }

    fn call<'n>(&self, name: &'n str) -> Call<'n> {
        let call = self.connection.call(name, Scope::Transaction);
        Call {
            limit: self.limit.map_or(call.limit, Limit::Statement),
            ..call
        }
    }
}
