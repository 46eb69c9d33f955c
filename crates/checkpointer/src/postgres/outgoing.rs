//! A put, or the pending writes of a task, encoded and ready to be sent.

mod measured;

use std::sync::Arc;

use db::Row;

use super::encode::Chunks;
use super::lists::Growing;
use super::sql::{
    AnyThread, Inherited, KnownThread, LeasedThread, Locking, NewCheckpoint, NewChunks, NewWrites,
    Relied, ThreadLock,
};
use super::store::Store;
use super::view::View;
use super::wire::Jsonb;
use super::within::Within;
use crate::{CheckpointId, CheckpointNs, ExpectedHead, Result, TaskId, ThreadId};

/// A write, encoded for one state of its thread.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) thread_id: ThreadId,
    /// The token of the lease that the write carries.
    pub(super) lease: Option<String>,
    pub(super) lock: Lock,
    pub(super) chunks: Chunks,
    pub(super) body: Body,
    /// The lists of a put: what further puts append to once it is stored.
    pub(super) growing: Growing,
}

/// In which state a write expects its thread.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lock {
    /// As it was when it was last seen, with the chunks relied on.
    Known(View),
    /// In any state, or not there yet: the write relies on no chunk.
    Any(Generations),
}

/// Into which generations of its thread a write goes that has seen none of them. A thread that
/// isn't there is made in any case.
#[derive(Debug, Clone, Copy)]
pub(super) enum Generations {
    /// Into the first one only.
    First,
    /// Into any that isn't deleted.
    Current,
    /// Into any; a deleted thread is started again.
    CurrentOrNew,
}

/// What is written.
#[derive(Debug)]
pub(super) enum Body {
    Checkpoint(EncodedCheckpoint),
    Writes(EncodedWrites),
}

/// The checkpoint of a put.
#[derive(Debug)]
pub(super) struct EncodedCheckpoint {
    pub(super) ns: CheckpointNs,
    pub(super) id: CheckpointId,
    pub(super) parent: Option<CheckpointId>,
    pub(super) expected: ExpectedHead,
    /// Whether it is taken to be new, and its namespace to have a head.
    pub(super) appends: bool,
    /// The checkpoint that shows that the put belongs to this generation of its thread.
    pub(super) required: Option<(CheckpointNs, String)>,
    pub(super) checkpoint: Vec<u8>,
    pub(super) channels: Vec<u8>,
    pub(super) unchanged: Vec<u8>,
    /// Whether it is refused if its parent isn't there.
    pub(super) needs_parent: bool,
    pub(super) metadata: Vec<u8>,
}

/// The outputs of a task.
#[derive(Debug)]
pub(super) struct EncodedWrites {
    pub(super) ns: CheckpointNs,
    pub(super) id: CheckpointId,
    pub(super) task_id: TaskId,
    pub(super) task_path: String,
    pub(super) indexes: Vec<i32>,
    pub(super) channels: Vec<String>,
    pub(super) values: Vec<Vec<u8>>,
}

/// What a write has come to.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Stored(View),
    /// The outputs of a task that was executed before: nothing of them was stored.
    Ignored(View),
    NotStored(Why),
}

/// What the caller of a write gets back: its turn is over once the write is stored, and its lists are
/// remembered.
#[derive(Debug)]
pub(super) enum Sent<Turn> {
    Stored(View),
    NotStored(Why, (Turn, Growing)),
}

/// Why a write wasn't stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// The head is another, or was made by another writer at the same moment.
    NotTheHead,
    /// Nothing shows that the put belongs to this generation of the thread.
    NotThisGeneration,
    /// The thread isn't as expected.
    Changed,
}

/// What the server answers to a write.
pub(super) struct Answer {
    view: View,
    /// Whether a put belongs to this generation of its thread, or something of a task's outputs was stored.
    belongs: bool,
    /// Whether it was stored; none if the thread may have no room for it.
    done: Option<bool>,
}

impl Outgoing {
    /// Sends the write as a statement of its own, and notes what it has stored.
    pub(super) async fn send(&self, store: &Arc<Store>) -> Result<Outcome> {
        let row = match &self.body {
            Body::Checkpoint(checkpoint) => self.send_checkpoint(store, checkpoint).await?,
            Body::Writes(writes) => self.send_writes(store, writes).await?,
        };
        let answer = row.as_ref().map(Answer::read);
        let outcome = match (&answer, &store.sql.limit) {
            (Some(Answer { done: None, .. }), Some(limit)) => {
                self.send_measured(store, limit).await?
            }
            _ => Outcome::of(answer.as_ref()),
        };
        self.note(store, outcome);
        Ok(outcome)
    }

    /// Sends the write within a transaction of the caller's. It notes nothing.
    ///
    /// Such a transaction must not fail by a key that exists, so a put is never an append.
    pub(super) async fn send_within(&self, within: &Within<'_>) -> Result<Outcome> {
        let sql = &within.store.sql;
        let (put, put_writes) = (&sql.put_within, &sql.put_writes_within);
        let answer = self.send_as(put, put_writes, within).await?;
        match (&answer, &sql.limit) {
            (Some(Answer { done: None, .. }), Some(limit)) => {
                self.send_measured_within(within, limit).await
            }
            _ => Ok(Outcome::of(answer.as_ref())),
        }
    }

    /// Sends the write within a transaction, by one of these statements.
    async fn send_as(
        &self,
        put: &Locking<(
            (NewCheckpoint<'static>, NewChunks<'static>),
            Inherited<'static>,
        )>,
        put_writes: &Locking<(NewChunks<'static>, NewWrites<'static>)>,
        within: &Within<'_>,
    ) -> Result<Option<Answer>> {
        let (lock, chunks) = (self.thread_lock(), self.new_chunks());
        let row = match &self.body {
            Body::Checkpoint(encoded) => {
                let (checkpoint, inherited) = (encoded.parameters(), encoded.inherited());
                let put = put.with(&lock, ((&checkpoint, &chunks), &inherited));
                within.query_opt(self.operation(), put).await?
            }
            Body::Writes(writes) => {
                let writes = writes.parameters();
                let put_writes = put_writes.with(&lock, (&chunks, &writes));
                within.query_opt(self.operation(), put_writes).await?
            }
        };
        Ok(row.as_ref().map(Answer::read))
    }

    async fn send_checkpoint(
        &self,
        store: &Store,
        encoded: &EncodedCheckpoint,
    ) -> Result<Option<Row>> {
        let (lock, chunks) = (self.thread_lock(), self.new_chunks());
        let (checkpoint, inherited) = (encoded.parameters(), encoded.inherited());
        let new = (&checkpoint, &chunks);
        if encoded.appends
            && let ThreadLock::Known(known, relied) = &lock
        {
            let append = store.sql.append.with(((known, relied), new));
            // If it is stored already, it is as if its thread had changed.
            return store.query_opt_or(self.operation(), append, None).await;
        }
        let put = store.sql.put.with(&lock, (new, &inherited));
        store.query_opt(self.operation(), put).await
    }

    async fn send_writes(&self, store: &Store, encoded: &EncodedWrites) -> Result<Option<Row>> {
        let (lock, chunks, writes) = (self.thread_lock(), self.new_chunks(), encoded.parameters());
        let put_writes = store.sql.put_writes.with(&lock, &chunks, &writes);
        if self.has_special() {
            return store.query_opt(self.operation(), put_writes).await;
        }
        let new_writes = store.sql.new_writes.with(&lock, &chunks, &writes);
        store
            .query_opt_or(self.operation(), new_writes, Some(put_writes))
            .await
    }

    /// Notes which chunks are stored if the write is: its statement was committed.
    pub(super) fn note(&self, store: &Store, outcome: Outcome) {
        if let Outcome::Stored(view) = outcome {
            let shown = self.chunks.hashes.iter().chain(&self.chunks.relied);
            store.chunks.note(&self.thread_id, view, shown.copied());
        }
    }

    /// Remembers the lists of a put that is stored.
    pub(super) fn keep_lists(&mut self, store: &Store, view: View) {
        let growing = std::mem::take(&mut self.growing);
        if let Body::Checkpoint(put) = &self.body {
            let lists = &store.lists;
            lists.keep(&self.thread_id, &put.ns, &put.id, view, growing);
        }
    }

    /// What the write does, as its errors say.
    pub(super) fn operation(&self) -> &'static str {
        match self.body {
            Body::Checkpoint(_) => "put a checkpoint",
            Body::Writes(_) => "put pending writes",
        }
    }

    /// The name of its statement.
    pub(super) fn statement_name(&self) -> &'static str {
        match self.body {
            Body::Checkpoint(_) => "checkpointer::put",
            Body::Writes(_) => "checkpointer::put_writes",
        }
    }

    /// Whether the write can share a transaction: what it relies on is known.
    pub(super) fn can_share(&self) -> bool {
        let needs_another = match &self.body {
            Body::Checkpoint(checkpoint) => checkpoint.required.is_some(),
            Body::Writes(_) => false,
        };
        self.view().is_some() && !needs_another
    }

    /// The state that its thread must be in.
    pub(super) fn view(&self) -> Option<View> {
        match self.lock {
            Lock::Known(view) => Some(view),
            Lock::Any(_) => None,
        }
    }

    /// Whether it holds pending writes to special channels. (The smallest index is the first.)
    pub(super) fn has_special(&self) -> bool {
        match &self.body {
            Body::Checkpoint(_) => false,
            Body::Writes(writes) => writes.indexes.first().is_some_and(|idx| *idx < 0),
        }
    }

    /// About how long it is, names aside.
    pub(super) fn bytes(&self) -> usize {
        self.chunks.bytes()
            + match &self.body {
                Body::Checkpoint(put) => {
                    put.checkpoint.len()
                        + put.channels.len()
                        + put.unchanged.len()
                        + put.metadata.len()
                }
                Body::Writes(writes) => writes.values.iter().map(Vec::len).sum(),
            }
    }

    /// Whether both may write the same rows, which one statement can't. (Puts never do: a put is
    /// the only write of its thread.)
    pub(super) fn collides(&self, other: &Self) -> bool {
        let (Body::Writes(a), Body::Writes(b)) = (&self.body, &other.body) else {
            return false;
        };
        self.thread_id == other.thread_id
            && (&a.ns, &a.id, &a.task_id) == (&b.ns, &b.id, &b.task_id)
    }

    fn thread_lock(&self) -> ThreadLock<'_> {
        let thread_id = self.thread_id.as_str();
        let lease = self.lease.as_deref();
        let generations = match self.lock {
            Lock::Known(View { generation, gc }) => {
                let known = KnownThread {
                    thread_id,
                    generation,
                    gc,
                    lease,
                };
                let relied = Relied {
                    relied: &self.chunks.relied,
                };
                return ThreadLock::Known(known, relied);
            }
            Lock::Any(generations) => generations,
        };
        let (later_generation, start_again) = match generations {
            Generations::First => (false, false),
            Generations::Current => (true, false),
            Generations::CurrentOrNew => (true, true),
        };
        match lease {
            None => ThreadLock::Any(AnyThread {
                thread_id,
                later_generation,
                start_again,
            }),
            Some(lease) => ThreadLock::Leased(LeasedThread {
                thread_id,
                later_generation,
                start_again,
                lease,
            }),
        }
    }

    fn new_chunks(&self) -> NewChunks<'_> {
        let (contents, refs) = self.chunks.columns();
        NewChunks {
            hashes: &self.chunks.hashes,
            contents,
            refs,
        }
    }
}

impl EncodedCheckpoint {
    fn parameters(&self) -> NewCheckpoint<'_> {
        let (guarded, expected) = self.guard();
        NewCheckpoint {
            ns: self.ns.as_str(),
            id: self.id.as_str(),
            parent: self.parent.as_ref().map(CheckpointId::as_str),
            guarded,
            expected,
            checkpoint: Jsonb(&self.checkpoint),
            channels: Jsonb(&self.channels),
            metadata: Jsonb(&self.metadata),
        }
    }

    fn inherited(&self) -> Inherited<'_> {
        let required = self.required.as_ref();
        Inherited {
            unchanged: Jsonb(&self.unchanged),
            needs_parent: self.needs_parent,
            required_ns: required.map(|(ns, _)| ns.as_str()),
            required_id: required.map(|(_, id)| id.as_str()),
        }
    }

    /// Whether the head must be one, and which.
    pub(super) fn guard(&self) -> (bool, Option<&str>) {
        match &self.expected {
            ExpectedHead::Any => (false, None),
            ExpectedHead::Is(head) => (true, head.as_ref().map(CheckpointId::as_str)),
        }
    }
}

impl EncodedWrites {
    fn parameters(&self) -> NewWrites<'_> {
        NewWrites {
            ns: self.ns.as_str(),
            id: self.id.as_str(),
            task_id: self.task_id.as_str(),
            task_path: &self.task_path,
            indexes: &self.indexes,
            channels: &self.channels,
            values: self.values.iter().map(|json| Jsonb(json)).collect(),
        }
    }
}

impl Outcome {
    /// What the answer to a write says; none if its thread isn't as expected.
    pub(super) fn of(answer: Option<&Answer>) -> Self {
        match answer {
            Some(answer) if answer.done == Some(true) => match answer.belongs {
                true => Self::Stored(answer.view),
                false => Self::Ignored(answer.view),
            },
            Some(answer) if answer.belongs => Self::NotStored(Why::NotTheHead),
            Some(_) => Self::NotStored(Why::NotThisGeneration),
            None => Self::NotStored(Why::Changed),
        }
    }
}

impl Answer {
    pub(super) fn read(row: &Row) -> Self {
        Self {
            view: View::read(row),
            belongs: row.get("belongs"),
            done: row.get("done"),
        }
    }
}
