//! Transactions of the bare driver, for programs with a pool of their own.

use std::sync::Arc;

use settings::PoolMode;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, Transaction};

use crate::client::GenericClient;
use crate::client::sealed::Client;
use crate::link::unprepared;
use crate::verdict::Verdict;
use crate::{Error, Result, Statement, statement};

/// Each statement takes one round trip, and none is prepared: the transaction may belong to a
/// pooler.
impl GenericClient for Transaction<'_> {}

impl Client for Transaction<'_> {
    async fn rows(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64)> {
        statement.check_count(params)?;
        let answer = unprepared(self.client(), statement, params).await;
        answer.map_err(|source| failed(statement.name(), source))
    }

    async fn batch(&self, sql: &str) -> Result<()> {
        let answer = self.batch_execute(sql).await;
        answer.map_err(|source| failed(statement::name(sql), source))
    }
}

/// Without the commit nothing takes effect, so no outcome is unknown.
fn failed(name: &str, source: tokio_postgres::Error) -> Error {
    let statement = name.to_owned();
    match Verdict::of(&source, PoolMode::Transaction) {
        Verdict::NeverSent | Verdict::Lost => Error::ConnectionLost {
            statement,
            source: Some(Arc::new(source)),
        },
        _ => Error::Query { statement, source },
    }
}
