//! Asking the server, and again after a transient failure.

use db::{GenericClient, Row};

use super::call::Call;
use super::sql::Bound;
use super::store::Store;
use crate::{Error, Result};

impl Store {
    /// Asks for rows.
    pub(super) async fn query(
        &self,
        operation: &'static str,
        asked: Bound<'_>,
    ) -> Result<Vec<Row>> {
        let attempt = || async {
            let connection = self.database.get().await?;
            connection.query(&asked.statement, &asked.values).await
        };
        self.retry(operation, attempt).await
    }

    /// Asks for one row at most.
    pub(super) async fn query_opt(
        &self,
        operation: &'static str,
        asked: Bound<'_>,
    ) -> Result<Option<Row>> {
        self.query_opt_unless(operation, asked, |_| false).await
    }

    /// Asks for one row at most. An error that says `is_no_row` is as good as no row.
    pub(super) async fn query_opt_unless(
        &self,
        operation: &'static str,
        asked: Bound<'_>,
        is_no_row: fn(&db::Error) -> bool,
    ) -> Result<Option<Row>> {
        let attempt = || async {
            let connection = self.database.get().await?;
            match connection.query_opt(&asked.statement, &asked.values).await {
                Err(error) if is_no_row(&error) => Ok(None),
                answer => answer,
            }
        };
        self.retry(operation, attempt).await
    }

    /// Asks for something to be done.
    pub(super) async fn execute(&self, operation: &'static str, asked: Bound<'_>) -> Result<()> {
        let attempt = || async {
            let connection = self.database.get().await?;
            connection.execute(&asked.statement, &asked.values).await
        };
        self.retry(operation, attempt).await?;
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
