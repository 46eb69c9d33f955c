//! Asking the server, and again after a transient failure.

use db::{GenericClient, Row, Statement, ToSql};

use super::call::Call;
use super::store::Store;
use crate::{Error, Result};

impl Store {
    /// Asks for rows.
    pub(super) async fn query(
        &self,
        operation: &'static str,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        self.retry(operation, || async {
            let connection = self.database.get().await?;
            connection.query(statement, parameters).await
        })
        .await
    }

    /// Asks for one row at most.
    pub(super) async fn query_opt(
        &self,
        operation: &'static str,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>> {
        self.retry(operation, || async {
            let connection = self.database.get().await?;
            connection.query_opt(statement, parameters).await
        })
        .await
    }

    /// Asks for something to be done.
    pub(super) async fn execute(
        &self,
        operation: &'static str,
        statement: &Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<()> {
        self.retry(operation, || async {
            let connection = self.database.get().await?;
            connection.execute(statement, parameters).await
        })
        .await?;
        Ok(())
    }

    /// Does something again after a failure that may pass: only what may be repeated after an
    /// unknown outcome, as [`Database::retry`](db::Database::retry) says. What tells one attempt from
    /// the next, such as the id of a delete, is made outside of `attempt`.
    pub(super) async fn retry<T, Attempt>(
        &self,
        operation: &'static str,
        attempt: impl FnMut() -> Attempt,
    ) -> Result<T>
    where
        Attempt: Future<Output = Result<T, db::Error>>,
    {
        let call = Call::current();
        let retried = |_: &db::Error| {
            if let Some(call) = &call {
                call.retried();
            }
        };
        self.database
            .retry(operation)
            .cut_short_by(&self.closing)
            .on_retry(&retried)
            .run(attempt)
            .await
            .map_err(|source| Error::Database { operation, source })
    }
}
