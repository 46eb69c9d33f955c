//! The transaction of a caller.

use std::fmt;

use db::{GenericClient, Row, ToSql, tokio_postgres};

/// An open transaction of the caller's own, in which checkpoints are stored together with the
/// caller's rows.
///
/// It is made of a reference to a transaction of `db`, or to one of the driver, as `bb8-postgres`
/// and `deadpool-postgres` have them. The caller commits it or rolls it back.
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
pub struct OpenTransaction<'a>(Kind<'a>);

#[derive(Clone, Copy)]
enum Kind<'a> {
    Db(&'a db::Transaction<'a>),
    Driver(&'a tokio_postgres::Transaction<'a>),
}

impl<'a> From<&'a db::Transaction<'_>> for OpenTransaction<'a> {
    fn from(transaction: &'a db::Transaction<'_>) -> Self {
        Self(Kind::Db(transaction))
    }
}

impl<'a> From<&'a tokio_postgres::Transaction<'_>> for OpenTransaction<'a> {
    fn from(transaction: &'a tokio_postgres::Transaction<'_>) -> Self {
        Self(Kind::Driver(transaction))
    }
}

impl OpenTransaction<'_> {
    /// Runs a statement on the caller's connection.
    pub(crate) async fn query(
        &self,
        statement: &db::Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, db::Error> {
        match self.0 {
            Kind::Db(transaction) => transaction.query(statement, params).await,
            Kind::Driver(transaction) => GenericClient::query(transaction, statement, params).await,
        }
    }

    /// Calls a function once the transaction is known to be committed. That of a transaction of the
    /// driver is never known.
    pub(crate) fn after_commit(&self, call: impl FnOnce() + Send + 'static) {
        match self.0 {
            Kind::Db(transaction) => transaction.after_commit(call),
            Kind::Driver(_) => {}
        }
    }
}

impl fmt::Debug for OpenTransaction<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Db(_) => "OpenTransaction::Db",
            Kind::Driver(_) => "OpenTransaction::Driver",
        })
    }
}
