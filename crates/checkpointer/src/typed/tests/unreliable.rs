//! A checkpointer whose answers get lost, and which tells what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_util::stream::BoxStream;

use crate::{
    CheckpointAddress, CheckpointTuple, Checkpointer, DeleteThread, Error, GetTuple, List,
    ListThreads, MemoryCheckpointer, Put, PutWrites, Result, ThreadInfo,
};

/// What happens to a put.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// It is stored, and the answer gets lost.
    AnswerLost,
    /// It gets lost itself; the caller learns no more than before.
    RequestLost,
    /// It is stored, and the caller waits for ever.
    AnswerLate,
    /// The caller waits for ever for nothing.
    RequestLate,
    /// The database refuses it for good.
    Refused,
    /// The thread changed too often.
    Busy,
}

/// Memory behind a connection on which puts meet faults, one after the other.
#[derive(Debug, Clone)]
pub(super) struct Unreliable {
    memory: MemoryCheckpointer,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    appended: Arc<Mutex<Vec<Appends>>>,
    reads: Arc<AtomicUsize>,
}

/// The lists to which a put appends: after how many items, and how many.
pub(super) type Appends = BTreeMap<String, (usize, usize)>;

impl Unreliable {
    pub(super) fn new(memory: &MemoryCheckpointer, faults: &[Fault]) -> Self {
        Self {
            memory: memory.clone(),
            faults: Arc::new(Mutex::new(faults.iter().copied().collect())),
            appended: Arc::default(),
            reads: Arc::default(),
        }
    }

    /// Meets further faults.
    pub(super) fn meet(&self, faults: &[Fault]) {
        self.faults.lock().unwrap().extend(faults);
    }

    /// How many puts there were, and how many reads.
    pub(super) fn calls(&self) -> (usize, usize) {
        let puts = self.appended.lock().unwrap().len();
        (puts, self.reads.load(Ordering::Relaxed))
    }

    /// To which lists the last put appends.
    pub(super) fn last_appends(&self) -> Appends {
        self.appended
            .lock()
            .unwrap()
            .last()
            .cloned()
            .unwrap_or_default()
    }
}

fn failed(source: db::Error) -> Error {
    Error::Database {
        operation: "put a checkpoint",
        source,
    }
}

fn lost() -> Error {
    failed(db::Error::OutcomeUnknown {
        statement: "put".to_owned(),
        source: None,
    })
}

#[async_trait]
impl Checkpointer for Unreliable {
    async fn put(&self, put: Put<'_>) -> Result<CheckpointAddress> {
        let appends = put.appended.iter();
        let appends = appends.map(|(channel, appended)| {
            (
                (*channel).to_owned(),
                (appended.after, appended.items.len()),
            )
        });
        self.appended.lock().unwrap().push(appends.collect());
        let fault = self.faults.lock().unwrap().pop_front();
        match fault {
            None => self.memory.put(put).await,
            Some(Fault::AnswerLost) => self.memory.put(put).await.and(Err(lost())),
            Some(Fault::RequestLost) => Err(lost()),
            Some(Fault::AnswerLate) => {
                self.memory.put(put).await?;
                std::future::pending().await
            }
            Some(Fault::RequestLate) => std::future::pending().await,
            Some(Fault::Refused) => Err(failed(db::Error::Closed)),
            Some(Fault::Busy) => Err(Error::Busy {
                thread_id: put.thread_id.clone(),
            }),
        }
    }

    async fn put_writes(&self, writes: PutWrites<'_>) -> Result<()> {
        self.memory.put_writes(writes).await
    }

    async fn get_tuple(&self, query: GetTuple) -> Result<Option<CheckpointTuple>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.memory.get_tuple(query).await
    }

    fn list(&self, query: List) -> BoxStream<'static, Result<CheckpointTuple>> {
        self.memory.list(query)
    }

    async fn delete_thread(&self, delete: DeleteThread) -> Result<()> {
        self.memory.delete_thread(delete).await
    }

    fn threads(&self, query: ListThreads) -> BoxStream<'static, Result<ThreadInfo>> {
        self.memory.threads(query)
    }

    async fn close(&self) -> Result<()> {
        self.memory.close().await
    }

    fn inner(&self) -> Option<&dyn Checkpointer> {
        Some(&self.memory)
    }
}
