//! A connection that is in use.

use std::sync::Arc;
use std::time::Duration;

use bb8::PooledConnection;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::client::GenericClient;
use crate::client::sealed::Client;
use crate::link::Link;
use crate::manager::Manager;
use crate::shared::Shared;
use crate::watch::{Call, Limit, Scope};
use crate::{Result, Statement, statement};

/// A connection that is in use, until it is dropped.
///
/// [`GenericClient`] has its methods. They take `&self`, so that several calls can be joined: they
/// are sent one after the other without waiting for the answers. (A statement that this connection
/// runs for the first time, and that is prepared, is prepared first, and runs a round trip later
/// than it was polled.)
///
/// What is done with it is never noticed by those who use it next. A connection that was left with
/// a transaction open, with a call whose future was dropped, or with a session that raw SQL may
/// have changed, is cleaned before it is used again, or replaced; that happens in the background.
#[derive(Debug)]
pub struct Connection {
    /// Only `drop` takes it.
    link: Option<PooledConnection<'static, Manager>>,
    in_use: TaskTrackerToken,
    shared: Arc<Shared>,
    statement_timeout: Option<Duration>,
}

impl Connection {
    pub(crate) fn new(
        link: PooledConnection<'static, Manager>,
        in_use: TaskTrackerToken,
        shared: Arc<Shared>,
        statement_timeout: Option<Duration>,
    ) -> Self {
        link.place().acquired();
        Self {
            link: Some(link),
            in_use,
            shared,
            statement_timeout,
        }
    }

    pub(crate) async fn ping(&self) -> Result<()> {
        self.link().ping().await
    }

    pub(crate) async fn run(
        &self,
        call: Call<'_>,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64)> {
        statement.check_count(params)?;
        if statement.changes_session() {
            self.changed_by(statement.sql());
        }
        self.link().rows(call, statement, params).await
    }

    pub(crate) async fn run_batch(&self, call: Call<'_>, sql: &str) -> Result<()> {
        self.changed_by(sql);
        let call = Call {
            statements: statement::count(sql),
            ..call
        };
        self.link().batch(call, sql).await
    }

    /// Changes how long a statement may run, as far as that is kept here and not by the server.
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
            statements: 1,
        }
    }

    pub(crate) fn link(&self) -> &Link {
        self.link
            .as_deref()
            .expect("the link is there until the drop")
    }

    /// Rolls back what a dropped transaction left open: without that, a statement would seem to
    /// take effect, and be lost with it.
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

impl GenericClient for Connection {}

impl Client for Connection {
    async fn rows(
        &self,
        statement: &Statement,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<(Vec<Row>, u64)> {
        self.settle().await?;
        let call = self.call(statement.name(), Scope::Alone);
        self.run(call, statement, params).await
    }

    async fn batch(&self, sql: &str) -> Result<()> {
        self.settle().await?;
        let call = self.call(statement::name(sql), Scope::Alone);
        self.run_batch(call, sql).await
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
            drop(link);
            return;
        }
        let in_use = self.in_use.clone();
        // If the runtime is gone, the task is dropped at once, and the pool discards what isn't
        // clean.
        runtime.spawn(async move {
            link.clean().await;
            drop(link);
            drop(in_use);
        });
    }
}
