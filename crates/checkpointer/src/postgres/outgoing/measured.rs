//! Sending a write that its thread may have no room for: the thread is measured before and after it,
//! and the write is taken back if it doesn't fit.

use std::sync::Arc;

use db::Transaction;

use super::{Lock, Outcome, Outgoing};
use crate::postgres::sql::{CountedThread, LimitSql, OneThread, Query};
use crate::postgres::store::Store;
use crate::postgres::within::Within;
use crate::transaction::PostgresTransaction;
use crate::{Error, Result};

impl Outgoing {
    /// Sends the write in a transaction of its own.
    pub(super) async fn send_measured(
        &self,
        store: &Arc<Store>,
        limit: &LimitSql,
    ) -> Result<Outcome> {
        let attempt = || async {
            let send = async |tx: &Transaction<'_>| {
                let within = Within {
                    store,
                    transaction: PostgresTransaction::Db(tx),
                };
                match self.send_measured_within(&within, limit).await {
                    Err(Error::Database { source, .. }) => Err(source),
                    outcome => Ok(outcome),
                }
            };
            store.database.transaction(send).await
        };
        store.retry(self.operation(), attempt).await?
    }

    /// Sends the write within a transaction. What isn't stored leaves nothing in it.
    pub(super) async fn send_measured_within(
        &self,
        within: &Within<'_>,
        limit: &LimitSql,
    ) -> Result<Outcome> {
        self.ask(within, &limit.savepoint).await?;
        let outcome = self.send_if_it_fits(within, limit).await;
        match &outcome {
            Ok(Outcome::Stored(_) | Outcome::Ignored(_)) => {}
            Ok(Outcome::NotStored(_)) | Err(Error::ThreadFull { .. }) => {
                self.ask(within, &limit.take_back).await?;
            }
            // The transaction has failed.
            Err(_) => return outcome,
        }
        self.ask(within, &limit.release).await?;
        outcome
    }

    /// A write that makes the thread no larger fits, however large the thread is: it is stored already,
    /// or replaces what is larger.
    async fn send_if_it_fits(&self, within: &Within<'_>, limit: &LimitSql) -> Result<Outcome> {
        let counted = CountedThread {
            thread_id: self.thread_id.as_str(),
            alone: matches!(self.lock, Lock::Any(_)),
        };
        let lock_count = limit.lock_count.with(&counted);
        within.query(self.operation(), lock_count).await?;
        let before = self.measure(within, &limit.measure).await?;
        let answer = self.send_as(&limit.put, &limit.put_writes, within).await?;
        let outcome = Outcome::of(answer.as_ref());
        if let Outcome::Stored(_) | Outcome::Ignored(_) = outcome {
            let after = self.measure(within, &limit.measure_and_count).await?;
            if after > limit.max_thread_bytes.max(before) {
                let limit = limit.max_thread_bytes;
                return Err(Error::thread_full(&self.thread_id, after, limit));
            }
        }
        Ok(outcome)
    }

    /// Asks how many bytes the thread has.
    async fn measure(&self, within: &Within<'_>, query: &Query<OneThread<'static>>) -> Result<u64> {
        let thread = OneThread {
            thread_id: self.thread_id.as_str(),
        };
        let rows = within.query(self.operation(), query.with(&thread)).await?;
        let bytes = rows.first().map_or(0, |row| row.get::<_, i64>("bytes"));
        Ok(u64::try_from(bytes).unwrap_or(0))
    }

    async fn ask(&self, within: &Within<'_>, query: &Query<()>) -> Result<()> {
        let asked = within.query(self.operation(), query.with(()));
        asked.await.map(drop)
    }
}
