//! What a policy asks of a thread as a whole.

use std::sync::Arc;

use db::{GenericClient, Row};

use crate::postgres::encode::{encode_filter, encode_filters};
use crate::postgres::engine::Engine;
use crate::postgres::refusal::refusal;
use crate::postgres::sql::{JudgedThread, Sql, micros};
use crate::postgres::wire::Jsonb;
use crate::{DeleteThread, Error, Removed, Result, Retention, ThreadId};

/// What becomes of a thread.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It isn't there, or the policy doesn't concern it.
    Keep,
    /// Its checkpoints are looked at.
    Thin,
    Delete,
    /// It would be deleted, but there is a lease on it.
    Refuse(Error),
}

/// What a policy asks, as it is compared on the server.
#[derive(Debug)]
pub(in crate::postgres) struct Asking {
    only: Option<Vec<u8>>,
    except: Option<Vec<u8>>,
    rests: Option<i64>,
}

impl Asking {
    /// None if the policy concerns no thread, because no metadata can contain what it names.
    fn of(policy: &Retention) -> Option<Self> {
        Some(Self {
            only: encode_filter(policy.only.as_ref())?,
            except: encode_filters(&policy.except),
            rests: policy.delete_after.map(micros),
        })
    }

    /// Asks it of a thread.
    pub(in crate::postgres) async fn judge(
        &self,
        sql: &Sql,
        client: &impl GenericClient,
        thread_id: &ThreadId,
    ) -> Result<Option<Row>, db::Error> {
        let thread = JudgedThread {
            thread_id: thread_id.as_str(),
            lease: None,
            only: self.only.as_deref().map(Jsonb),
            except: self.except.as_deref().map(Jsonb),
            rests: self.rests,
        };
        let judge = sql.judge_thread.with(&thread);
        client.query_opt(&judge.statement, &judge.values).await
    }

    /// Whether the thread of that row is to be deleted.
    pub(in crate::postgres) fn deletes(row: &Row) -> bool {
        let is = |name| row.get::<_, bool>(name);
        !is("deleted") && is("concerned") && is("rests") && !is("pinned")
    }
}

impl Engine {
    pub(super) async fn judge(&self, thread_id: &ThreadId, policy: &Retention) -> Result<Verdict> {
        let Some(asking) = Asking::of(policy) else {
            return Ok(Verdict::Keep);
        };
        let row = self.judged(thread_id, &asking).await?;
        Ok(match row {
            Some(row) if Asking::deletes(&row) => match refusal(thread_id, false, &row) {
                Some(refusal) => Verdict::Refuse(refusal),
                None => Verdict::Delete,
            },
            Some(row) if !row.get::<_, bool>("deleted") && row.get("concerned") => Verdict::Thin,
            _ => Verdict::Keep,
        })
    }

    async fn judged(&self, thread_id: &ThreadId, asking: &Asking) -> Result<Option<Row>> {
        self.store
            .retry("look at a thread", || async {
                let connection = self.store.database.get().await?;
                asking.judge(&self.store.sql, &connection, thread_id).await
            })
            .await
    }

    /// Deletes a thread if the policy still wants that under the lock; none if it doesn't.
    pub(super) async fn delete_if_due(
        self: &Arc<Self>,
        thread_id: &ThreadId,
        policy: &Retention,
    ) -> Result<Option<Removed>> {
        match Asking::of(policy) {
            None => Ok(None),
            Some(asking) => {
                let delete = DeleteThread::new(thread_id)?;
                self.delete_thread_if(delete, Some(asking)).await
            }
        }
    }

    /// Counts what the deletion of a thread would remove.
    pub(super) async fn count_deletion(&self, thread_id: &ThreadId) -> Result<Removed> {
        let any = Asking {
            only: None,
            except: None,
            rests: None,
        };
        match self.judged(thread_id, &any).await? {
            Some(row) if !row.get::<_, bool>("deleted") => match refusal(thread_id, false, &row) {
                Some(refusal) => Err(refusal),
                None => self.count_thread(thread_id).await,
            },
            _ => Ok(Removed::default()),
        }
    }
}
