//! The import of one thread.

use checkpointer::{
    CheckpointAddress, CheckpointId, CheckpointNs, Put, PutWrites, TaskId, ThreadId,
};

use super::blobs::Blobs;
use super::leased::Leased;
use super::report::Place;
use super::run::{Failure, Run};
use super::sql::PAGE;
use super::stored::Stored;
use super::tables::{CheckpointRow, WriteRow};
use super::writes::TaskWrites;
use crate::is_opaque;

/// A thread that is leased while it is imported.
pub(super) struct Thread<'r, 'a> {
    run: &'r Run<'a>,
    id: ThreadId,
    leased: Leased<'a>,
    blobs: Blobs,
    /// The place of the last loss.
    lost: Option<Place>,
}

impl<'r, 'a> Thread<'r, 'a> {
    pub(super) async fn import(run: &'r Run<'a>, name: &str) -> Result<(), Failure> {
        let id = ThreadId::new(name)?;
        let leased = Leased::acquire(run.checkpointer, &id, run.lease_ttl).await?;
        let mut thread = Self {
            run,
            id,
            leased,
            blobs: Blobs::default(),
            lost: None,
        };
        let imported = thread.all().await;
        let returned = thread.leased.release().await;
        imported?;
        Ok(returned?)
    }

    /// The checkpoints come first: a deleted thread is started again by its first checkpoint, not
    /// by writes.
    async fn all(&mut self) -> Result<(), Failure> {
        self.checkpoints().await?;
        self.writes().await
    }

    async fn checkpoints(&mut self) -> Result<(), Failure> {
        let mut last = None;
        loop {
            let page = self
                .run
                .tables
                .checkpoints(self.id.as_str(), last.as_ref())
                .await?;
            for row in &page {
                let put = self.checkpoint(row).await;
                self.keep(put, Place::of_checkpoint(row))?;
            }
            self.run.tell();
            if page.len() < PAGE {
                return Ok(());
            }
            last = page.last().map(CheckpointRow::position);
        }
    }

    /// Notes what is refused, once for each place, and passes on what ends more than that.
    fn keep(&mut self, put: Result<(), Failure>, place: Place) -> Result<(), Failure> {
        let Err(Failure::Item(reason)) = put else {
            return put;
        };
        let place = place.widened();
        if self.lost.as_ref() != Some(&place) {
            self.lost = Some(place.clone());
            self.run.lose(self.id.as_str(), Some(place), reason);
        }
        Ok(())
    }

    async fn checkpoint(&mut self, row: &CheckpointRow) -> Result<(), Failure> {
        let checkpoint_ns = CheckpointNs::new(&row.checkpoint_ns)?;
        let parent = row
            .parent_checkpoint_id
            .as_ref()
            .filter(|parent| !parent.is_empty());
        let parent = parent.map(CheckpointId::new).transpose()?;
        let mut stored = Stored::read(row)?;
        let Self { run, id, blobs, .. } = self;
        let versions = stored.versions;
        let read = blobs.read(&run.tables, id.as_str(), &row.checkpoint_ns, versions);
        let opaque = read.await?;
        self.blobs.add_to(&mut stored.checkpoint.channel_values);

        // With all its values, and all channels named as changed, it needs no parent.
        let put = Put::new(&self.id, &stored.checkpoint, &stored.metadata);
        let mut put = put
            .in_ns(checkpoint_ns)
            .new_versions(&stored.checkpoint.channel_versions);
        put.parent = parent.as_ref();
        put.lease = self.leased.lease().await?;
        self.run.checkpointer.put(put).await?;
        self.run.count(|report| {
            report.checkpoints += 1;
            report.opaque += opaque;
        });
        Ok(())
    }

    async fn writes(&mut self) -> Result<(), Failure> {
        let mut last = None;
        let mut task = TaskWrites::default();
        loop {
            let page = self
                .run
                .tables
                .writes(self.id.as_str(), last.as_ref())
                .await?;
            last = page.last().map(WriteRow::position);
            let is_last = page.len() < PAGE;
            for row in page {
                if let Some(finished) = task.add(row) {
                    self.task(finished).await?;
                }
            }
            self.run.tell();
            if is_last {
                return self.task(task).await;
            }
        }
    }

    async fn task(&mut self, task: TaskWrites) -> Result<(), Failure> {
        let Some(place) = task.place() else {
            return Ok(());
        };
        let put = self.put_writes(&place, task).await;
        self.keep(put, place)
    }

    async fn put_writes(&mut self, place: &Place, task: TaskWrites) -> Result<(), Failure> {
        let address = CheckpointAddress::new(&self.id, &place.checkpoint_id)?;
        let address = address.in_ns(CheckpointNs::new(&place.checkpoint_ns)?);
        let task_id = TaskId::new(&place.task_id)?;
        let task_path = task.task_path();
        let writes = task.into_writes();
        let mut put = PutWrites::new(&address, &task_id, &writes).task_path(&task_path);
        put.lease = self.leased.lease().await?;
        self.run.checkpointer.put_writes(put).await?;
        let opaque = writes.iter().filter(|(_, form)| is_opaque(form)).count();
        self.run.count(|report| {
            report.writes += writes.len() as u64;
            report.opaque += opaque as u64;
        });
        Ok(())
    }
}
