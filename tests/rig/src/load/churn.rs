//! Writers, removers and readers that meet on a few threads and share what those hold.

use std::time::Duration;

use checkpointer::{
    CheckpointAddress, Checkpointer, DeleteThread, Error, GetTuple, List, PostgresCheckpointer,
    Prune, PruneStrategy, Put, PutWrites, TaskId, ThreadId,
};
use fastrand::Rng;
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::content::{self, CONTENTS, RUNS};
use super::{Event, Fact};
use crate::in_one_line;

/// How long a remover waits between two calls, at most.
const PAUSE: Duration = Duration::from_millis(50);

/// What one of those does who meet on a few threads.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Churner {
    /// What it does.
    pub role: Role,
    /// How many threads there are.
    pub threads: u64,
    /// How many calls it makes.
    pub calls: u64,
    /// What it chooses by.
    pub seed: u64,
}

/// What is done to threads that others use too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Puts checkpoints without a guard, and outputs of tasks.
    Writer,
    /// Prunes, deletes runs and threads, and copies threads.
    Remover,
    /// Reads everything, and compares it with what was put.
    Reader,
}

/// A task that does it.
struct Work<R> {
    of: Churner,
    checkpointer: PostgresCheckpointer,
    rng: Rng,
    report: R,
}

impl Churner {
    /// Does it, and tells `report` what has happened.
    pub(super) async fn run(self, checkpointer: PostgresCheckpointer, report: impl Fn(Fact)) {
        let mut work = Work {
            of: self,
            checkpointer,
            rng: Rng::with_seed(self.seed),
            report,
        };
        let mut lasts = vec![None; self.threads as usize];
        for _ in 0..self.calls {
            let thread = work.rng.usize(..lasts.len());
            let done = match self.role {
                Role::Writer => work.write(thread, &mut lasts[thread]).await,
                Role::Remover => work.remove(thread).await,
                Role::Reader => work.read(thread).await,
            };
            match done {
                Ok(()) => {}
                Err(Error::ThreadDeleted { .. }) => {
                    lasts[thread] = None;
                    work.did("refused: the thread was deleted");
                }
                Err(error) if error.is_transient() => work.did("failed after all retries"),
                Err(error) => work.say(Event::Violation(in_one_line(&error))),
            }
        }
    }
}

impl<R: Fn(Fact)> Work<R> {
    async fn write(
        &mut self,
        thread: usize,
        last: &mut Option<CheckpointAddress>,
    ) -> Result<(), Error> {
        let thread_id = thread_id(thread)?;
        let (checkpoint, versions, metadata) = content::checkpoint(&mut self.rng, last.as_ref());
        let put = match last {
            Some(parent) => Put::after(parent, &checkpoint, &metadata),
            None => Put::new(&thread_id, &checkpoint, &metadata),
        };
        let put = self.checkpointer.put(put.new_versions(&versions)).await?;
        self.did("put");
        let address = last.insert(put);
        if self.rng.u8(..4) == 0 {
            let index = self.rng.u64(..CONTENTS);
            let task_id = TaskId::new(index.to_string())?;
            let output = [("a".to_owned(), content::content(index))];
            let writes = PutWrites::new(address, &task_id, &output);
            self.checkpointer.put_writes(writes).await?;
            self.did("put_writes");
        }
        if self.rng.u8(..8) == 0 {
            let head = self.checkpointer.get_tuple(GetTuple::head(&thread_id)?);
            *last = head.await?.map(|head| head.address);
            self.did("get_tuple");
        }
        Ok(())
    }

    async fn remove(&mut self, thread: usize) -> Result<(), Error> {
        // Writers have to get on, too.
        sleep(PAUSE.mul_f64(self.rng.f64())).await;
        let thread_id = thread_id(thread)?;
        match self.rng.u8(..20) {
            0 => {
                let delete = DeleteThread::new(&thread_id)?;
                self.checkpointer.delete_thread(delete).await?;
                self.did("delete_thread");
            }
            1..4 => {
                let run = format!("run {}", self.rng.u64(..RUNS));
                self.checkpointer
                    .delete_for_runs(&[run])
                    .await?
                    .complete()?;
                self.did("delete_for_runs");
            }
            4 => {
                let copy = ThreadId::new(format!("copy-{}", self.rng.u64(..)))?;
                match self.checkpointer.copy_thread(&thread_id, &copy).await {
                    Err(Error::ThreadNotFound { .. }) => return Ok(()),
                    copied => copied?,
                }
                self.did("copy_thread");
                self.read_all(&copy).await?;
                let delete = DeleteThread::new(&copy)?;
                self.checkpointer.delete_thread(delete).await?;
            }
            _ => {
                let prune = Prune::new(vec![thread_id], PruneStrategy::KeepLatest)?;
                self.checkpointer.prune(prune).await?.complete()?;
                self.did("prune");
            }
        }
        Ok(())
    }

    async fn read(&mut self, thread: usize) -> Result<(), Error> {
        self.read_all(&thread_id(thread)?).await
    }

    async fn read_all(&self, thread_id: &ThreadId) -> Result<(), Error> {
        let mut listed = self.checkpointer.list(List::thread(thread_id)?);
        while let Some(tuple) = listed.try_next().await? {
            if let Err(wrong) = content::check(&tuple) {
                self.say(Event::Violation(wrong));
            }
        }
        self.did("list");
        Ok(())
    }

    fn did(&self, what: &str) {
        self.say(Event::Did(what.to_owned()));
    }

    fn say(&self, event: Event) {
        let agent = self.of.seed;
        (self.report)(Fact { agent, event });
    }
}

pub(super) fn thread_id(thread: usize) -> Result<ThreadId, Error> {
    ThreadId::new(format!("shared-{thread}"))
}
