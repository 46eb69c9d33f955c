//! The import of one thread.

use checkpointer::{
    CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer as _, Generation, OpenTransaction,
    Put, PutWrites, TaskId, ThreadId,
};

use super::blobs::Blobs;
use super::report::{Counts, Place, Reason};
use super::run::{Failure, Run};
use super::sql::PAGE;
use super::stored::Stored;
use super::tables::{CheckpointRow, WriteRow};
use super::writes::TaskWrites;
use crate::is_opaque;

/// A thread that is imported in a transaction.
pub(super) struct Thread<'r, 'a> {
    run: &'r Run<'a>,
    transaction: OpenTransaction<'r>,
    id: &'r ThreadId,
    /// The generation that the thread has here, once a checkpoint was put.
    generation: Option<Generation>,
    /// The namespace of the checkpoint that was put last.
    checkpoint_ns: Option<CheckpointNs>,
    blobs: Blobs,
    /// The place of the last loss.
    lost: Option<Place>,
    counts: &'r mut Counts,
}

/// Imports a thread, all of it or nothing. Returns false if there is a thread of that name, which is left
/// as it is.
pub(super) async fn import(run: &Run<'_>, name: &str) -> Result<bool, Failure> {
    let id = ThreadId::new(name)?;
    if run.target.thread_info(&id).await?.is_some() {
        return Ok(false);
    }
    let database = run.target.database();
    let imported = database.retry("import a thread").run(|| attempt(run, &id));
    imported.await??;
    Ok(true)
}

/// Imports a thread in one transaction. What the server fails at comes as an error of its own, which may
/// pass.
async fn attempt(run: &Run<'_>, id: &ThreadId) -> Result<Result<(), Failure>, db::Error> {
    let mut counts = Counts::default();
    let database = run.target.database();
    let imported = database.transaction(async |transaction| {
        let mut thread = Thread {
            run,
            transaction: OpenTransaction::from(transaction),
            id,
            generation: None,
            checkpoint_ns: None,
            blobs: Blobs::default(),
            lost: None,
            counts: &mut counts,
        };
        thread.all().await
    });
    match imported.await {
        Ok(()) => Ok(Ok(())),
        Err(failure) => {
            run.forget(id.as_str(), counts);
            match failure {
                Failure::Server(error) => Err(error),
                other => Ok(Err(other)),
            }
        }
    }
}

impl Thread<'_, '_> {
    /// The checkpoints come first: the first one shows whether the thread was deleted.
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
        let versions = stored.versions;
        let read = self.blobs.read(
            &self.run.tables,
            self.id.as_str(),
            &row.checkpoint_ns,
            versions,
        );
        let opaque = read.await?;
        self.blobs.add_to(&mut stored.checkpoint.channel_values);

        // With all its values, and all channels named as changed, it needs no parent.
        let mut put = Put::new(self.id, &stored.checkpoint, &stored.metadata)
            .in_ns(&checkpoint_ns)
            .new_versions(&stored.checkpoint.channel_versions);
        if self.checkpoint_ns.as_ref() != Some(&checkpoint_ns) {
            // Another program may have begun the thread meanwhile.
            put = put.expect_no_head();
        }
        put.parent = parent.as_ref();
        put.generation = self.generation;
        let address = self.run.target.put_within(self.transaction, put).await?;
        if address.generation != Some(Generation(1)) {
            // The put has started the thread again, which is rolled back.
            return Err(Failure::Thread(Reason::Deleted));
        }
        self.generation = address.generation;
        self.checkpoint_ns = Some(checkpoint_ns);
        self.count(Counts {
            checkpoints: 1,
            opaque,
            ..Counts::default()
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

    async fn put_writes(&mut self, place: &Place, mut task: TaskWrites) -> Result<(), Failure> {
        let address = CheckpointAddress::new(self.id, &place.checkpoint_id)?;
        let mut address = address.in_ns(CheckpointNs::new(&place.checkpoint_ns)?);
        address.generation = self.generation;
        let task_id = TaskId::new(&place.task_id)?;
        let task_path = task.task_path();
        let replaced = task.take_replaced();
        let writes = task.into_writes();
        let put = PutWrites::new(&address, &task_id, &writes).task_path(&task_path);
        self.run
            .target
            .put_writes_within(self.transaction, put)
            .await?;
        let opaque = writes.iter().filter(|(_, form)| is_opaque(form)).count();
        self.count(Counts {
            writes: writes.len() as u64,
            opaque: opaque as u64,
            ..Counts::default()
        });
        for channel in replaced {
            let reason = Reason::Replaced { channel };
            self.run.lose(self.id.as_str(), Some(place.clone()), reason);
        }
        Ok(())
    }

    fn count(&mut self, more: Counts) {
        self.counts.add(more);
        self.run.count(|report| more.add_to(report));
    }
}
