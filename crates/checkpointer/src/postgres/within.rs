//! Asking the server within a transaction of the caller's.
//!
//! Such a statement is sent once, on the caller's connection. What it shows may never be committed,
//! so nothing of it is remembered before the commit is known.

use std::sync::Arc;

use db::Row;

use super::sql::Bound;
use super::store::Store;
use crate::transaction::PostgresTransaction;
use crate::{Error, Result};

/// The tables as a transaction of the caller's sees them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Within<'a> {
    pub(super) store: &'a Arc<Store>,
    pub(super) transaction: PostgresTransaction<'a>,
}

impl Within<'_> {
    /// Asks for rows.
    pub(super) async fn query(
        &self,
        operation: &'static str,
        asked: Bound<'_>,
    ) -> Result<Vec<Row>> {
        let rows = self.transaction.query(&asked.statement, &asked.values);
        rows.await
            .map_err(|source| Error::Database { operation, source })
    }

    /// Asks for one row at most.
    pub(super) async fn query_opt(
        &self,
        operation: &'static str,
        asked: Bound<'_>,
    ) -> Result<Option<Row>> {
        Ok(self.query(operation, asked).await?.pop())
    }
}
