//! Verifying the checkpoints and the pending writes of a thread.

use std::collections::HashSet;

use db::Row;

use super::{OPERATION, PAGE, Verifying};
use crate::postgres::decode;
use crate::postgres::sql::{CheckpointsPage, WritesPage};
use crate::postgres::wire::Jsonb;
use crate::{
    CheckpointAddress, CheckpointId, CheckpointNs, Error, Finding, FindingKind, GetTuple, Loaded,
    Result,
};

/// Where a page of pending writes ends.
#[derive(Default)]
struct LastWrite {
    ns: String,
    id: String,
    task: String,
    idx: i32,
}

/// The checkpoints that a pending write has led to: each is reported once.
#[derive(Default)]
struct Told {
    read: HashSet<CheckpointAddress>,
    waiting: HashSet<CheckpointAddress>,
}

impl Verifying<'_> {
    pub(super) async fn check_checkpoints(&mut self) -> Result<()> {
        let (mut last_ns, mut last_id) = (String::new(), String::new());
        loop {
            let page = CheckpointsPage {
                thread_id: self.thread.thread_id.as_str(),
                last_ns: &last_ns,
                last_id: &last_id,
            };
            let store = &self.engine.store;
            let asked = store.sql.verify_checkpoints.with((&page, &PAGE));
            let rows = store.query(OPERATION, asked).await?;
            let Some(end) = rows.last() else {
                return Ok(());
            };
            (last_ns, last_id) = (end.get("checkpoint_ns"), end.get("checkpoint_id"));
            for row in &rows {
                self.check_checkpoint(row).await?;
            }
        }
    }

    async fn check_checkpoint(&mut self, row: &Row) -> Result<()> {
        self.thread.checkpoints += 1;
        let address = self.address(row);
        if self.doubts_checkpoint(row, &address.checkpoint_id) {
            self.read(&address).await?;
        }
        if row.get("lacks_parent") {
            let parent: &str = row.get("parent_checkpoint_id");
            let id = address.checkpoint_id;
            let what =
                format!("the parent of checkpoint `{id}`, checkpoint `{parent}`, is missing");
            let finding = Finding::new(FindingKind::ParentMissing, what);
            self.found(finding.in_ns(address.checkpoint_ns).of_checkpoint(id))
                .await?;
        }
        Ok(())
    }

    fn doubts_checkpoint(&mut self, row: &Row, id: &CheckpointId) -> bool {
        let thread_id = &self.thread.thread_id;
        let (Jsonb(content), Jsonb(metadata)) = (row.get("checkpoint"), row.get("metadata"));
        let Jsonb(channels) = row.get("channels");
        row.get("lacks_chunks")
            || decode::checkpoint(thread_id, id.clone(), content, Loaded::All).is_err()
            || decode::metadata(thread_id, metadata).is_err()
            || self.shapes.doubts_channels(channels)
    }

    /// Reads a checkpoint with its writes as a program does that has read none before, which says what is wrong.
    async fn read(&mut self, address: &CheckpointAddress) -> Result<()> {
        let store = &self.engine.store;
        match store.get_tuple_as_stored(&GetTuple::at(address)).await {
            Ok(_) => Ok(()),
            Err(Error::Corrupt { what, .. }) => {
                let finding = Finding::new(FindingKind::CheckpointUnreadable, what);
                let finding = finding.in_ns(address.checkpoint_ns.clone());
                self.found(finding.of_checkpoint(address.checkpoint_id.clone()))
                    .await
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn check_writes(&mut self) -> Result<()> {
        let (mut last, mut told) = (LastWrite::default(), Told::default());
        loop {
            let rows = self.writes_after(&last).await?;
            let Some(end) = rows.last() else {
                return Ok(());
            };
            last = LastWrite {
                ns: end.get("checkpoint_ns"),
                id: end.get("checkpoint_id"),
                task: end.get("task_id"),
                idx: end.get("idx"),
            };
            for row in &rows {
                self.check_write(row, &mut told).await?;
            }
        }
    }

    async fn writes_after(&self, last: &LastWrite) -> Result<Vec<Row>> {
        let page = WritesPage {
            thread_id: self.thread.thread_id.as_str(),
            last_ns: &last.ns,
            last_id: &last.id,
            last_task: &last.task,
            last_idx: last.idx,
            micros: self.engine.grace.orphaned_writes,
        };
        let store = &self.engine.store;
        let asked = store.sql.verify_writes.with((&page, &PAGE));
        store.query(OPERATION, asked).await
    }

    async fn check_write(&mut self, row: &Row, told: &mut Told) -> Result<()> {
        self.thread.pending_writes += 1;
        let (address, Jsonb(value)) = (self.address(row), row.get("value"));
        let is_doubtful = self.shapes.doubts(value) || row.get("lacks_chunks");
        let has_checkpoint: bool = row.get("has_checkpoint");
        if has_checkpoint {
            // A checkpoint with a reference was read before, if a chunk is damaged.
            if is_doubtful && told.read.insert(address.clone()) && !self.is_known(&address) {
                self.read(&address).await?;
            }
            return Ok(());
        }
        if is_doubtful {
            let (task, channel): (&str, &str) = (row.get("task_id"), row.get("channel"));
            let what = format!("the write of task `{task}` to channel `{channel}` can't be read");
            self.found(at(FindingKind::WriteUnreadable, what, &address))
                .await?;
        }
        if row.get("is_old") && told.waiting.insert(address.clone()) {
            let id = &address.checkpoint_id;
            let what = format!("pending writes wait for checkpoint `{id}`, which hasn't come");
            self.found(at(FindingKind::WritesWithoutCheckpoint, what, &address))
                .await?;
        }
        Ok(())
    }

    /// Whether it is known of a checkpoint that it can't be read.
    fn is_known(&self, address: &CheckpointAddress) -> bool {
        self.thread.findings.iter().any(|finding| {
            finding.kind == FindingKind::CheckpointUnreadable
                && finding.checkpoint_id.as_ref() == Some(&address.checkpoint_id)
                && finding.checkpoint_ns.as_ref() == Some(&address.checkpoint_ns)
        })
    }

    fn address(&self, row: &Row) -> CheckpointAddress {
        CheckpointAddress {
            thread_id: self.thread.thread_id.clone(),
            checkpoint_ns: CheckpointNs::trusted(row.get("checkpoint_ns")),
            checkpoint_id: CheckpointId::trusted(row.get("checkpoint_id")),
            generation: None,
        }
    }
}

fn at(kind: FindingKind, what: String, address: &CheckpointAddress) -> Finding {
    let finding = Finding::new(kind, what).in_ns(address.checkpoint_ns.clone());
    finding.of_checkpoint(address.checkpoint_id.clone())
}
