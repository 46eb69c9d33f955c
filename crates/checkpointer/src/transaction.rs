//! The transaction of a caller.

use std::fmt;

use db::{GenericClient, Row, ToSql, tokio_postgres};

use crate::{Error, MemoryTransaction, Result};

/// An open transaction of the caller's own, in which checkpoints are stored together with the
/// caller's rows.
///
/// It is made of a reference to a transaction of `db`, or to one of the driver, as `bb8-postgres`
/// and `deadpool-postgres` have them. For a [`MemoryCheckpointer`](crate::MemoryCheckpointer) it is
/// made of a reference to a [`MemoryTransaction`]. The caller commits it or rolls it back.
///
/// # Examples
///
/// ```no_run
/// use checkpointer::{Checkpointer, OpenTransaction, PostgresCheckpointer, Put};
/// use db::tokio_postgres::Client;
///
/// # async fn example(
/// #     checkpointer: &PostgresCheckpointer,
/// #     client: &mut Client,
/// #     put: Put<'_>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// let tx = client.transaction().await?;
/// tx.execute("INSERT INTO orders (item) VALUES ($1)", &[&"a kettle"]).await?;
/// checkpointer.put_within(OpenTransaction::from(&tx), put).await?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct OpenTransaction<'a>(Of<'a>);

#[derive(Clone, Copy)]
enum Of<'a> {
    Postgres(PostgresTransaction<'a>),
    Memory(&'a MemoryTransaction),
}

/// A transaction of PostgreSQL.
#[derive(Clone, Copy)]
pub(crate) enum PostgresTransaction<'a> {
    Db(&'a db::Transaction<'a>),
    Driver(&'a tokio_postgres::Transaction<'a>),
}

impl<'a> From<&'a db::Transaction<'_>> for OpenTransaction<'a> {
    fn from(transaction: &'a db::Transaction<'_>) -> Self {
        Self(Of::Postgres(PostgresTransaction::Db(transaction)))
    }
}

impl<'a> From<&'a tokio_postgres::Transaction<'_>> for OpenTransaction<'a> {
    fn from(transaction: &'a tokio_postgres::Transaction<'_>) -> Self {
        Self(Of::Postgres(PostgresTransaction::Driver(transaction)))
    }
}

impl<'a> From<&'a MemoryTransaction> for OpenTransaction<'a> {
    fn from(transaction: &'a MemoryTransaction) -> Self {
        Self(Of::Memory(transaction))
    }
}

impl<'a> OpenTransaction<'a> {
    /// The transaction, if it is one of PostgreSQL.
    pub(crate) fn in_postgres(self) -> Result<PostgresTransaction<'a>> {
        match self.0 {
            Of::Postgres(transaction) => Ok(transaction),
            Of::Memory(_) => Err(Self::unsuitable()),
        }
    }

    /// The transaction, if it is one in memory.
    pub(crate) fn in_memory(self) -> Result<&'a MemoryTransaction> {
        match self.0 {
            Of::Memory(transaction) => Ok(transaction),
            Of::Postgres(_) => Err(Self::unsuitable()),
        }
    }

    /// The error of a checkpointer that can't store within the transaction.
    pub(crate) fn unsuitable() -> Error {
        Error::unsupported("a transaction of another store")
    }

    /// Calls a function once the transaction is known to be committed. Only a transaction of `db`
    /// tells that.
    pub(crate) fn after_commit(self, call: impl FnOnce() + Send + 'static) {
        if let Of::Postgres(transaction) = self.0 {
            transaction.after_commit(call);
        }
    }
}

impl PostgresTransaction<'_> {
    /// Runs a statement on the caller's connection.
    pub(crate) async fn query(
        &self,
        statement: &db::Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, db::Error> {
        match *self {
            Self::Db(transaction) => transaction.query(statement, params).await,
            Self::Driver(transaction) => GenericClient::query(transaction, statement, params).await,
        }
    }

    /// Calls a function once the transaction is known to be committed. That of a transaction of the
    /// driver is never known.
    pub(crate) fn after_commit(&self, call: impl FnOnce() + Send + 'static) {
        if let Self::Db(transaction) = self {
            transaction.after_commit(call);
        }
    }
}

impl fmt::Debug for OpenTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Of::Postgres(transaction) => f
                .debug_tuple("OpenTransaction")
                .field(&transaction)
                .finish(),
            Of::Memory(transaction) => f.debug_tuple("OpenTransaction").field(transaction).finish(),
        }
    }
}

impl fmt::Debug for PostgresTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Db(_) => "Db",
            Self::Driver(_) => "Driver",
        })
    }
}
