//! What connections and transactions have in common: running statements.

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::{Error, Result, Statement};

/// Runs statements: a [`Connection`](crate::Connection), a [`Transaction`](crate::Transaction), or
/// a transaction of the driver, [`tokio_postgres::Transaction`].
///
/// A function that takes `&impl GenericClient` works within a transaction and without one. A
/// transaction of the driver comes from a pool that isn't this crate's, such as one of
/// `bb8-postgres` or `deadpool-postgres`. Its statements have no limit but the server's, and the
/// program that began it commits it.
///
/// # Examples
///
/// ```no_run
/// use db::{Database, Error, GenericClient, Statement, Type};
///
/// static ADD: Statement =
///     Statement::new("INSERT INTO notes (text) VALUES ($1)", &[Type::TEXT]);
///
/// async fn add(client: &impl GenericClient, text: &str) -> db::Result<()> {
///     client.execute(&ADD, &[&text]).await?;
///     Ok(())
/// }
///
/// # async fn example(db: &Database) -> db::Result<()> {
/// add(&db.get().await?, "Buy milk.").await?;
/// db.transaction(async |tx| -> Result<(), Error> {
///     add(tx, "Feed the cat.").await?;
///     add(tx, "Water the plants.").await
/// })
/// .await
/// # }
/// ```
pub trait GenericClient: sealed::Client {
    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    ///
    /// [`Error::Query`] if the server rejects it, [`Error::StatementTimeout`] if it takes too long:
    /// it had no effect. [`Error::OutcomeUnknown`] if the connection was lost meanwhile, the answer
    /// is overdue or [the server's code leaves it open](Error::is_outcome_unknown),
    /// [`Error::ConnectionLost`] if the connection already was lost; within a transaction it is
    /// never the first, because without the commit nothing takes effect.
    /// [`Error::ParameterCount`] if `params` don't fit the types.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the statement may or may not take effect. It is cancelled when the
    /// connection is returned, unless it ends within a moment. Within a transaction it is a part of
    /// that, which goes on.
    fn query(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Vec<Row>>> + Send {
        async { Ok(self.rows(statement, params).await?.0) }
    }

    /// Runs a statement that returns at most one row.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query), and [`Error::RowCount`] if there are more; the statement has
    /// taken effect then.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    fn query_opt(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Option<Row>>> + Send {
        async {
            let mut rows = self.query(statement, params).await?;
            match rows.len() {
                0 | 1 => Ok(rows.pop()),
                rows => Err(row_count(statement, "at most one", rows)),
            }
        }
    }

    /// Runs a statement that returns one row.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query), and [`Error::RowCount`] if there are none or more; the statement
    /// has taken effect then.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    fn query_one(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<Row>> + Send {
        async {
            let mut rows = self.query(statement, params).await?;
            match (rows.len(), rows.pop()) {
                (1, Some(row)) => Ok(row),
                (rows, _) => Err(row_count(statement, "one", rows)),
            }
        }
    }

    /// Runs a statement and returns how many rows it affected.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query).
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    fn execute(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> impl Future<Output = Result<u64>> + Send {
        async { Ok(self.rows(statement, params).await?.1) }
    }

    /// Runs raw SQL, of one statement or several, without parameters.
    ///
    /// What it does to the session is undone when the connection is returned; a `SET LOCAL` lasts
    /// as long as the transaction. In pool mode `transaction` only a transaction left open is
    /// undone: what a `SET` did stays with the connection that the pooler took for it.
    ///
    /// Each of the statements has the time of one. Where the limit isn't the server's, as in pool
    /// mode `transaction`, they have that time together.
    ///
    /// `COPY` from or to the client isn't supported: it ends the connection.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query). Several statements without a `BEGIN` are one transaction.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    fn batch_execute(&self, sql: &str) -> impl Future<Output = Result<()>> + Send {
        self.batch(sql)
    }
}

pub(crate) mod sealed {
    //! What tells them apart, which no other type can implement.

    use super::{Result, Row, Statement, ToSql};

    pub trait Client: Sync {
        /// Runs a statement; its rows, and how many it affected.
        fn rows(
            &self,
            statement: &Statement,
            params: &[&(dyn ToSql + Sync)],
        ) -> impl Future<Output = Result<(Vec<Row>, u64)>> + Send;

        /// Runs raw SQL.
        fn batch(&self, sql: &str) -> impl Future<Output = Result<()>> + Send;
    }
}

fn row_count(statement: &Statement, expected: &'static str, rows: usize) -> Error {
    Error::RowCount {
        statement: statement.name().to_owned(),
        expected,
        rows,
    }
}
