//! A connection that is in use.

use std::sync::Arc;
use std::time::Duration;

use bb8::PooledConnection;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::link::Link;
use crate::manager::Manager;
use crate::shared::Shared;
use crate::watch::{Call, Limit, Scope};
use crate::{Error, Result, Statement, statement};

/// A borrowed connection, given back when it is dropped.
///
/// Its methods take `&self`, so that several calls can be joined: they are sent
/// one after the other without waiting for the answers. (A statement that this
/// connection runs for the first time in `session` mode is prepared first, and
/// runs a round trip later than it was polled.)
///
/// The next borrower never notices what this one did. A connection that was
/// left with a transaction open, with a call whose future was dropped, or with
/// a session that raw SQL may have changed, is cleaned before it is lent again,
/// or replaced; that happens in the background.
#[derive(Debug)]
pub struct Connection {
    /// Only `drop` takes it.
    link: Option<PooledConnection<'static, Manager>>,
    loan: TaskTrackerToken,
    shared: Arc<Shared>,
    statement_timeout: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(
        link: PooledConnection<'static, Manager>,
        loan: TaskTrackerToken,
        shared: Arc<Shared>,
        statement_timeout: Option<Duration>,
    ) -> Self {
        link.place().acquired();
        Self {
            link: Some(link),
            loan,
            shared,
            statement_timeout,
        }
    }

    /// Runs a statement and returns its rows.
    ///
    /// # Errors
    ///
    /// [`Error::Query`] if the server rejects it, [`Error::StatementTimeout`] if
    /// it takes too long: it had no effect. [`Error::OutcomeUnknown`] if the
    /// connection was lost meanwhile or the answer is overdue,
    /// [`Error::ConnectionLost`] if it already was lost.
    /// [`Error::ParameterCount`] if `params` don't fit the types.
    ///
    /// # Cancel safety
    ///
    /// If dropped once polled, the statement may or may not take effect. It is
    /// cancelled when the connection is given back, unless it ends within a
    /// moment.
    pub async fn query(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>> {
        self.settle().await?;
        let call = self.call(statement.name(), Scope::Alone);
        Ok(self.rows(call, statement, params).await?.0)
    }

    /// Runs a statement that returns at most one row.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query), and [`Error::RowCount`] if there are more; the
    /// statement has taken effect then.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    pub async fn query_opt(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Option<Row>> {
        at_most_one(statement, self.query(statement, params).await?)
    }

    /// Runs a statement that returns one row.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query), and [`Error::RowCount`] if there are none or
    /// more; the statement has taken effect then.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    pub async fn query_one(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Row> {
        exactly_one(statement, self.query(statement, params).await?)
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
    pub async fn execute(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<u64> {
        self.settle().await?;
        let call = self.call(statement.name(), Scope::Alone);
        Ok(self.rows(call, statement, params).await?.1)
    }

    /// Runs raw SQL, of one statement or several, without parameters.
    ///
    /// Whatever it does to the session is undone when the connection is given
    /// back. In `transaction` mode only a transaction left open is: what a `SET`
    /// did stays with whatever connection the pooler took for it.
    ///
    /// # Errors
    ///
    /// As [`query`](Self::query). Several statements without a `BEGIN` are one
    /// transaction.
    ///
    /// # Cancel safety
    ///
    /// As [`query`](Self::query).
    pub async fn batch_execute(&self, sql: &str) -> Result<()> {
        self.settle().await?;
        let call = self.call(statement::name(sql), Scope::Alone);
        self.batch(call, sql).await
    }

    pub(crate) async fn ping(&self) -> Result<()> {
        self.link().ping().await
    }

    pub(crate) async fn rows(
        &self,
        call: Call<'_>,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64)> {
        if params.len() != statement.types().len() {
            return Err(Error::ParameterCount {
                statement: statement.name().to_owned(),
                expected: statement.types().len(),
                given: params.len(),
            });
        }
        if statement.changes_session() {
            self.changed_by(statement.sql());
        }
        self.link().rows(call, statement, params).await
    }

    pub(crate) async fn batch(&self, call: Call<'_>, sql: &str) -> Result<()> {
        self.changed_by(sql);
        self.link().batch(call, sql).await
    }

    /// Changes how long a statement may run, as far as that is kept here and
    /// not by the server.
    pub(crate) fn limit_statements(&mut self, limit: Duration) {
        self.statement_timeout = Some(limit);
    }

    pub(crate) fn statement_timeout(&self) -> Option<Duration> {
        self.statement_timeout
    }

    pub(crate) fn call<'a>(&self, name: &'a str, scope: Scope) -> Call<'a> {
        Call {
            name,
            scope,
            limit: self.statement_timeout.map_or(Limit::None, Limit::Statement),
        }
    }

    pub(crate) fn link(&self) -> &Link {
        self.link
            .as_deref()
            .expect("the link is there until the drop")
    }

    /// Rolls back what a dropped transaction left open: without that, a
    /// statement would seem to take effect, and be lost with it.
    pub(crate) async fn settle(&self) -> Result<()> {
        // Only the first of several joined calls; the others come behind it.
        if !self.link().condition().set_transaction(false) {
            return Ok(());
        }
        let call = self.call("ROLLBACK", Scope::Transaction);
        self.link().batch(call, "ROLLBACK").await.inspect_err(|_| {
            self.link().condition().set_transaction(true);
        })
    }

    fn changed_by(&self, sql: &str) {
        let condition = self.link().condition();
        condition.set_changed();
        if statement::mentions_begin(sql) {
            condition.set_begun();
        }
        if statement::mentions_prepared(sql) {
            condition.set_spoilt();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else {
            return;
        };
        // The pool spawns a task when it has to replace a connection.
        let runtime = self.shared.runtime.handle();
        let _entered = runtime.enter();
        if link.condition().is_clean() {
            return;
        }
        let loan = self.loan.clone();
        // If the runtime is gone, the task is dropped at once, and the pool
        // discards what isn't clean.
        runtime.spawn(async move {
            link.clean().await;
            drop(link);
            drop(loan);
        });
    }
}

pub(crate) fn at_most_one(statement: &Statement, mut rows: Vec<Row>) -> Result<Option<Row>> {
    match rows.len() {
        0 | 1 => Ok(rows.pop()),
        count => Err(Error::RowCount {
            statement: statement.name().to_owned(),
            expected: "at most one",
            rows: count,
        }),
    }
}

pub(crate) fn exactly_one(statement: &Statement, mut rows: Vec<Row>) -> Result<Row> {
    match (rows.len(), rows.pop()) {
        (1, Some(row)) => Ok(row),
        (count, _) => Err(Error::RowCount {
            statement: statement.name().to_owned(),
            expected: "one",
            rows: count,
        }),
    }
}
