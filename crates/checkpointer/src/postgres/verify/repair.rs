//! Repairing what a verification has found, where nothing can be lost.

use db::{GenericClient, Transaction};

use super::{OPERATION, Stand, Verifying, silence};
use crate::postgres::sql::{LockedThread, OneThread, Query};
use crate::{Finding, FindingKind, Result};

impl Verifying<'_> {
    /// Repairs what was found, if that can be done at once, and says whether it was.
    pub(super) async fn repaired(&mut self, kind: FindingKind) -> Result<bool> {
        if self.repaired.contains(&kind) {
            return Ok(true);
        }
        let is_repaired = match kind {
            FindingKind::ThreadMissing => self.restore_thread().await?,
            FindingKind::RowsOfDeletedThread => self.empty_tombstone().await?,
            FindingKind::HeadMissing
            | FindingKind::HeadCountTooLow
            | FindingKind::ThreadUnlisted => self.correct_heads().await?,
            _ => false,
        };
        // All of the kind were repaired together.
        if is_repaired {
            self.repaired.insert(kind);
        }
        Ok(is_repaired)
    }

    async fn restore_thread(&self) -> Result<bool> {
        let one = self.one();
        let store = &self.engine.store;
        let restore = store.sql.restore_thread.with(&one);
        store.execute(OPERATION, restore).await?;
        Ok(true)
    }

    async fn empty_tombstone(&self) -> Result<bool> {
        let empty = &self.engine.store.sql.empty_tombstone;
        self.locked(true, &[empty]).await
    }

    async fn correct_heads(&self) -> Result<bool> {
        let sql = &self.engine.store.sql;
        self.locked(false, &[&sql.place_heads, &sql.correct_counts])
            .await
    }

    /// Runs statements under the lock of the thread, unless it was deleted or started again since.
    async fn locked(
        &self,
        deleted: bool,
        statements: &[&Query<OneThread<'static>>],
    ) -> Result<bool> {
        let _turn = self.engine.order.alone(&self.thread.thread_id).await;
        let store = &self.engine.store;
        let attempt = || async {
            let run = async |tx: &Transaction<'_>| self.run_locked(tx, deleted, statements).await;
            store.database.transaction(run).await
        };
        let done = store.retry(OPERATION, attempt).await?;
        store.chunks.forget(&self.thread.thread_id);
        Ok(done)
    }

    async fn run_locked(
        &self,
        tx: &Transaction<'_>,
        deleted: bool,
        statements: &[&Query<OneThread<'static>>],
    ) -> Result<bool, db::Error> {
        let thread = LockedThread {
            thread_id: self.thread.thread_id.as_str(),
            lease: None,
        };
        let lock = self.engine.store.sql.lock_thread.with(&thread);
        let row = tx.query_opt(&lock.statement, &lock.values).await?;
        if row.is_none_or(|row| row.get::<_, bool>("deleted") != deleted) {
            return Ok(false);
        }
        let one = self.one();
        for statement in statements {
            let bound = statement.with(&one);
            tx.execute(&bound.statement, &bound.values).await?;
        }
        Ok(true)
    }

    /// Looks for chunks that nothing refers to. They are removed, and so are the writes that have
    /// waited too long, if all the rest can be read: what is damaged may have referred to more.
    pub(super) async fn check_unneeded(&mut self, stand: &Stand) -> Result<()> {
        let (one, silence) = (self.one(), silence());
        let store = &self.engine.store;
        let asked = store.sql.verify_unneeded.with((&one, &silence));
        let row = store.query_opt(OPERATION, asked).await?;
        let count = |column| row.as_ref().map_or(0, |row| row.get::<_, i64>(column));
        let (chunks, bytes) = (count("chunks"), count("bytes"));
        if chunks > 0 {
            let what = format!("nothing refers to {chunks} chunks of {bytes} bytes");
            self.add(Finding::new(FindingKind::ChunksUnneeded, what));
        }
        let is_due = self.has_garbage || stand.left_unswept;
        if !self.repair || !is_due || !self.thread.is_sound() {
            return Ok(());
        }
        self.engine.sweep_garbage(&self.thread.thread_id).await?;
        let findings = self.thread.findings.iter_mut();
        let garbage = findings.filter(|finding| !finding.kind.is_damage());
        garbage.for_each(|finding| finding.repaired = true);
        Ok(())
    }
}
