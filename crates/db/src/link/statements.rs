//! How a connection runs statements: prepared where something keeps them, else with their text.

use std::num::NonZeroUsize;
use std::pin::pin;
use std::sync::{Arc, MutexGuard, PoisonError};

use futures_util::TryStreamExt;
use lru::LruCache;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, RowStream};
use tracing::{debug, warn};

use super::Link;
use crate::error::Chain;
use crate::preparation::Preparation;
use crate::verdict::{is_misnamed, is_stale};
use crate::watch::{Call, Scope};
use crate::{Error, Result, Statement};

/// How many prepared statements a connection keeps. A pooler that keeps fewer prepares some again.
pub(super) const STATEMENTS: NonZeroUsize = NonZeroUsize::new(256).unwrap();

impl Link {
    /// Runs a statement; its rows, and how many it affected.
    pub(crate) async fn rows(
        &self,
        call: Call<'_>,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64)> {
        // One future for all ways: what a call's future holds, it holds in each that awaits it.
        let preparation = self.preparation(statement);
        let work = pin!(self.send(preparation, call, statement, params));
        let answer = self.run(call, work).await;
        match preparation {
            Preparation::ByPooler => answer.map_err(|error| lost_if_misnamed(call, error)),
            _ => answer,
        }
    }

    /// Where a statement is prepared for this connection.
    fn preparation(&self, statement: &Statement) -> Preparation {
        let is_unfit = || {
            // A pooler breaks a connection off that uses a statement after `DEALLOCATE ALL`.
            self.condition().is_spoilt() || self.watch.shared.unpreparable.contains(statement)
        };
        match self.watch.preparation {
            Preparation::ByPooler if is_unfit() => Preparation::Nowhere,
            preparation => preparation,
        }
    }

    /// Sends a statement, and once more if it is refused because of how it was prepared.
    async fn send(
        &self,
        mut preparation: Preparation,
        call: Call<'_>,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
        loop {
            if preparation == Preparation::Nowhere {
                return unprepared(&self.client, statement, params).await;
            }
            let known = self.statements().get(statement).cloned();
            let was_prepared = known.is_some();
            let error = match self.named(known, statement, params).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // In these cases the server has run none of it.
            match preparation {
                Preparation::InSession if was_prepared && is_stale(&error) => {
                    debug!(statement = call.name, "preparing a stale statement again");
                    self.statements().pop(statement);
                }
                Preparation::ByPooler if is_stale(&error) || is_misnamed(&error) => {
                    self.stop_preparing(statement, &error);
                    preparation = Preparation::Nowhere;
                }
                _ => return Err(error),
            }
            if call.scope == Scope::Transaction {
                return Err(error);
            }
        }
    }

    /// Notes that the pooler can't prepare a statement any more. To prepare it again would be no
    /// use, for any client: the pooler takes the statement that the server refuses for prepared.
    fn stop_preparing(&self, statement: &Statement, error: &tokio_postgres::Error) {
        self.statements().pop(statement);
        self.watch.shared.unpreparable.add(statement);
        // The pooler may manage no names any more. The next connection asks again.
        if is_misnamed(error) {
            self.condition().set_spoilt();
        }
        warn!(
            statement = statement.name(),
            error = %Chain(error),
            "the pooler can't prepare a statement any more, sending it unprepared from now on"
        );
    }

    /// Runs a statement under its name, and prepares it before if it has none.
    async fn named(
        &self,
        known: Option<tokio_postgres::Statement>,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
        let prepared = match known {
            Some(prepared) => prepared,
            None => self.prepare(statement).await?,
        };
        let params = params.iter().copied();
        collect(self.client.query_raw(&prepared, params).await).await
    }

    async fn prepare(
        &self,
        statement: &Statement,
    ) -> Result<tokio_postgres::Statement, tokio_postgres::Error> {
        let (sql, types) = (statement.sql(), statement.types());
        let prepared = self.client.prepare_typed(sql, types).await?;
        self.statements().put(statement.clone(), prepared.clone());
        Ok(prepared)
    }

    fn statements(&self) -> MutexGuard<'_, LruCache<Statement, tokio_postgres::Statement>> {
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs a statement without preparing it, in one round trip.
pub(crate) async fn unprepared(
    client: &Client,
    statement: &Statement,
    params: &[&(dyn ToSql + Sync)],
) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
    let params = params
        .iter()
        .copied()
        .zip(statement.types().iter().cloned());
    collect(client.query_typed_raw(statement.sql(), params).await).await
}

/// What it means in a transaction that a session doesn't know the statement: the pooler lets no
/// statement be prepared any more, and the connection isn't used again.
fn lost_if_misnamed(call: Call<'_>, error: Error) -> Error {
    match error {
        Error::Query { statement, source }
            if call.scope == Scope::Transaction && is_misnamed(&source) =>
        {
            let source = Some(Arc::new(source) as _);
            Error::ConnectionLost { statement, source }
        }
        error => error,
    }
}

async fn collect(
    stream: Result<RowStream, tokio_postgres::Error>,
) -> Result<(Vec<Row>, u64), tokio_postgres::Error> {
    let mut stream = pin!(stream?);
    let mut rows = Vec::new();
    while let Some(row) = stream.try_next().await? {
        rows.push(row);
    }
    Ok((rows, stream.rows_affected().unwrap_or(0)))
}
