//! Asking the server, and again after a transient failure.

use std::error::Error as _;
use std::iter;

use db::tokio_postgres::error::DbError;
use db::{GenericClient, Row, SqlState};

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

    /// Asks for rows, and not again.
    pub(super) async fn query_once(&self, asked: Bound<'_>) -> Result<Vec<Row>, db::Error> {
        let connection = self.database.get().await?;
        connection.query(&asked.statement, &asked.values).await
    }

    /// Asks for one row at most.
    pub(super) async fn query_opt(
        &self,
        operation: &'static str,
        asked: Bound<'_>,
    ) -> Result<Option<Row>> {
        let attempt = || async {
            let connection = self.database.get().await?;
            connection.query_opt(&asked.statement, &asked.values).await
        };
        self.retry(operation, attempt).await
    }

    /// Asks for the one row that there is in any case.
    pub(super) async fn query_one(&self, operation: &'static str, asked: Bound<'_>) -> Result<Row> {
        let attempt = || async {
            let connection = self.database.get().await?;
            connection.query_one(&asked.statement, &asked.values).await
        };
        self.retry(operation, attempt).await
    }

    /// Asks for one row at most. Where the statement would insert a key that exists, it asks
    /// something else, or there is no row.
    pub(super) async fn query_opt_or(
        &self,
        operation: &'static str,
        asked: Bound<'_>,
        otherwise: Option<Bound<'_>>,
    ) -> Result<Option<Row>> {
        // One attempt does both: if an earlier one's outcome is unknown, a key that exists doesn't
        // end the retries.
        let attempt = || async {
            let connection = self.database.get().await?;
            let answer = connection.query_opt(&asked.statement, &asked.values).await;
            match (answer, &otherwise) {
                (Err(error), Some(otherwise)) if is_stored(&error) => {
                    let (statement, values) = (&otherwise.statement, &otherwise.values);
                    connection.query_opt(statement, values).await
                }
                (Err(error), None) if is_stored(&error) => Ok(None),
                (answer, _) => answer,
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
        let retried = |failure: &db::Error| {
            if let Some(call) = &call {
                call.retried(failure);
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

/// Whether a statement has failed because a key that it inserts exists. The coordinator of Citus says so
/// with the code of an internal error where it passes rows on to another server.
pub(super) fn is_stored(error: &db::Error) -> bool {
    match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => true,
        Some(code) if *code == SqlState::INTERNAL_ERROR => says_duplicate_key(error),
        _ => false,
    }
}

fn says_duplicate_key(error: &db::Error) -> bool {
    let causes = iter::successors(error.source(), |&cause| cause.source());
    let mut answers = causes.filter_map(|cause| cause.downcast_ref::<DbError>());
    answers.any(|answer| answer.message().starts_with("duplicate key value violates"))
}
