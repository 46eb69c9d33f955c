//! Sending writes: those that wait at the same moment share a transaction.
//!
//! A write that finds a free lane goes out at once, as a statement of its own if it is alone; its
//! caller sends it if nobody else is at work. While all lanes are busy writes queue up, and
//! whichever lane is free next takes whatever is there and sends it as one statement. Nobody waits
//! for others to come: there is no timer to wait for.
//!
//! **Invariant:** a thread's order isn't kept here. A write is only handed over in its
//! [`Turn`], which it keeps until its outcome is known: what waits here at the same moment may go
//! out in any order, and a put is the only write of its thread.

mod batch;
mod lane;
mod lone;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::ready;

use db::{GenericClient, Row};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::cache::View;
use super::call::Call;
use super::encode::NewChunk;
use super::meter::{self, UnderWay};
use super::order::Turn;
use super::put;
use super::put_writes;
use super::store::Store;
use crate::codec::ContentHash;
use crate::{Error, Result, ThreadId};
use batch::Batch;
use lane::{Lane, Sending};
pub(super) use lone::Begun;
use lone::{Caller, Lone};

/// How many statements are under way at once, for the best of both: fewer keep a few writers
/// waiting, more make the batches of many smaller.
const LANES: usize = 2;

/// How many writes may wait, or be under way. Further ones wait before they are handed over.
const ACCEPTED: usize = 1024;

/// How many writes share a transaction at most.
const BATCH_WRITES: usize = 64;

/// About how many bytes share a transaction at most; a write that is larger by itself goes alone.
const BATCH_BYTES: usize = 512 << 10;

/// A write, encoded.
#[derive(Debug)]
pub(super) enum Write {
    Put(put::Encoded),
    Writes(put_writes::Encoded),
}

/// What a write has come to.
#[derive(Debug)]
enum Outcome {
    Stored(View),
    NotStored(Why),
}

/// Why a write wasn't stored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Why {
    /// The head is another, or was made by another writer at the same moment.
    NotTheHead,
    /// What shows that the put belongs to this life of the thread is missing.
    Foreign,
    /// The thread isn't as expected.
    Changed,
}

/// What the caller of a write gets back: its turn is over once the write is stored.
#[derive(Debug)]
pub(super) enum Sent {
    Stored(View),
    NotStored(Why, Turn),
}

/// The writes that were handed over.
#[derive(Debug)]
pub(super) struct Lanes {
    store: Arc<Store>,
    /// How many there are; none if each write goes alone.
    count: usize,
    accepted: Arc<Semaphore>,
    queue: Mutex<Queue>,
    lone: Lone,
    /// Failures that nobody else will hear of, since the close has begun.
    unreported: Mutex<Vec<Error>>,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Job>,
    busy: usize,
}

/// A write that was handed over, with who waits for its outcome.
#[derive(Debug)]
struct Job {
    write: Write,
    turn: Turn,
    caller: oneshot::Sender<Result<Sent>>,
    call: Option<Call>,
    _accepted: OwnedSemaphorePermit,
    _under_way: UnderWay,
}

impl Lanes {
    /// Makes lanes for a pool with so many connections, of which reads need half.
    pub(super) fn new(store: Arc<Store>) -> Arc<Self> {
        let connections = store.database.state().max;
        Self::with_count(store, LANES.min(connections as usize / 2).max(1))
    }

    /// Sends each write alone.
    pub(super) fn none(store: Arc<Store>) -> Arc<Self> {
        Self::with_count(store, 0)
    }

    fn with_count(store: Arc<Store>, count: usize) -> Arc<Self> {
        Arc::new(Self {
            store,
            count,
            accepted: Arc::new(Semaphore::new(ACCEPTED)),
            queue: Mutex::default(),
            lone: Lone::default(),
            unreported: Mutex::default(),
        })
    }

    /// Begins a call: no write under way depends on its caller any more, for this call might wait
    /// for that write, and its caller for this call.
    pub(super) fn begin(&self) -> Begun<'_> {
        self.lone.begin()
    }

    /// Ends the writes under way, and admits no further call. It reports the failures whose callers
    /// were gone, since the close began.
    pub(super) async fn close(&self) -> Result<()> {
        self.store.begin_close();
        // A task takes over a write that is sent by its caller.
        self.lone.hand_over();
        self.store.wait_for_writes().await;
        let mut failures = std::mem::take(&mut *lock(&self.unreported)).into_iter();
        match failures.next() {
            None => Ok(()),
            Some(first) => Err(Error::CloseFailed {
                source: Box::new(first),
                others: failures.collect(),
            }),
        }
    }

    /// Hands a write over, and gives its turn back if it wasn't stored. From then on it is sent,
    /// whatever becomes of the caller, and keeps its turn until its outcome is known.
    pub(super) async fn send(self: &Arc<Self>, write: Write, turn: Turn) -> Result<Sent> {
        let under_way = UnderWay::new();
        let accepted = Arc::clone(&self.accepted);
        let Ok(accepted) = accepted.acquire_owned().await else {
            return Err(Error::Closed);
        };
        let (new_chunks, reused_chunks) = write.chunks();
        meter::sent(write.bytes(), new_chunks.len(), reused_chunks.len());
        let (caller, mut outcome) = oneshot::channel();
        let sender = self.accept(Job {
            write,
            turn,
            caller,
            call: Call::current(),
            _accepted: accepted,
            _under_way: under_way,
        })?;
        let outcome = poll_fn(|context| {
            if let Some(sender) = &sender {
                ready!(sender.poll(context));
            }
            Pin::new(&mut outcome).poll(context)
        });
        // Without an answer the runtime is shutting down.
        outcome.await.unwrap_or(Err(Error::Closed))
    }

    /// Sends a write, or lets it wait for a lane. Its caller sends it if it is the only one at
    /// work.
    fn accept(self: &Arc<Self>, job: Job) -> Result<Option<Caller<'_>>> {
        let under_way = self.store.admit()?;
        let shares = self.count > 0 && job.write.can_share();
        let mut queue = lock(&self.queue);
        if shares && queue.busy == self.count {
            queue.waiting.push_back(job);
            return Ok(None);
        }
        queue.busy += usize::from(shares);
        if let Some(place) = self.lone.free() {
            let sending = Sending::new(self, job, shares, under_way);
            return Ok(Some(place.take(sending)));
        }
        if shares {
            queue.waiting.push_back(job);
            Lane::start(self, &Handle::current());
        } else {
            Sending::new(self, job, false, under_way).spawn();
        }
        Ok(None)
    }

    /// What goes out next: whatever waits, as far as it fits into one transaction.
    fn next_jobs(&self) -> Option<Vec<Job>> {
        let mut queue = lock(&self.queue);
        let mut jobs: Vec<Job> = Vec::new();
        let mut left = VecDeque::new();
        let mut bytes = 0;
        while let Some(job) = queue.waiting.pop_front() {
            bytes += job.write.bytes();
            if jobs.len() == BATCH_WRITES || bytes > BATCH_BYTES {
                left.push_back(job);
                break;
            }
            if jobs.iter().any(|other| job.write.collides(&other.write)) {
                left.push_back(job);
            } else {
                jobs.push(job);
            }
        }
        left.append(&mut queue.waiting);
        queue.waiting = left;
        (!jobs.is_empty()).then_some(jobs)
    }

    async fn send_together(self: &Arc<Self>, mut jobs: Vec<Job>) {
        meter::batched(jobs.len());
        if let [_] = jobs[..] {
            for job in jobs {
                Arc::clone(self).send_alone(job).await;
            }
            return;
        }
        // Programs that write to the same threads insert their rows in the same order. Where they
        // don't after all, one is told of a deadlock, and its writes go alone.
        jobs.sort_by(|a, b| a.write.thread_id().cmp(b.write.thread_id()));
        let outcomes = match self.send_batch(&jobs).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // One bad write fails all of them, or what became of them is unknown.
                let error = error.for_log();
                tracing::debug!(%error, writes = jobs.len(), "sending each write of a batch alone");
                for call in jobs.iter().filter_map(|job| job.call.as_ref()) {
                    call.retried();
                }
                jobs.iter().map(|_| None).collect()
            }
        };
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            match outcome {
                Some(outcome) => job.answer(self, Ok(outcome)),
                None => {
                    self.store.spawn(Arc::clone(self).send_alone(job));
                }
            }
        }
    }

    /// Sends writes as one statement. One without an outcome wasn't stored, and must be sent alone.
    async fn send_batch(&self, jobs: &[Job]) -> Result<Vec<Option<Outcome>>, db::Error> {
        let mut batch = Batch::default();
        for job in jobs {
            batch.add(&job.write);
        }
        let connection = self.store.database.get().await?;
        let rows = connection
            .query(&self.store.sql.batch, &batch.parameters())
            .await?;
        drop(connection);
        let mut outcomes: Vec<Option<Outcome>> = jobs.iter().map(|_| None).collect();
        for row in rows {
            let place = usize::try_from(row.get::<_, i64>("call") - 1).unwrap_or(usize::MAX);
            if let (Some(job), Some(outcome)) = (jobs.get(place), outcomes.get_mut(place)) {
                *outcome = Some(if row.get("done") {
                    self.stored(&job.write, &row)
                } else {
                    Outcome::NotStored(Why::NotTheHead)
                });
            }
        }
        Ok(outcomes)
    }

    /// Notes what a statement has stored, and in which state of the thread.
    fn stored(&self, write: &Write, row: &Row) -> Outcome {
        let view = View {
            generation: row.get("generation"),
            gc: row.get("gc"),
        };
        let (sent, relied) = write.chunks();
        let stored = sent.iter().chain(relied).copied();
        self.store.cache.note(write.thread_id(), view, stored);
        Outcome::Stored(view)
    }

    async fn send_alone(self: Arc<Self>, job: Job) {
        let sending = async {
            match &job.write {
                Write::Put(put) => self.store.send_put(put).await,
                Write::Writes(writes) => self.store.send_writes(writes).await,
            }
        };
        let row = Call::work_for(job.call.as_ref(), pin!(sending)).await;
        let outcome = row.map(|row| match row {
            None => Outcome::NotStored(Why::Changed),
            Some(row) if row.get("done") => self.stored(&job.write, &row),
            Some(row) if row.get("belongs") => Outcome::NotStored(Why::NotTheHead),
            Some(_) => Outcome::NotStored(Why::Foreign),
        });
        job.answer(&self, outcome);
    }
}

impl Job {
    fn answer(self, lanes: &Lanes, outcome: Result<Outcome>) {
        if let Ok(Outcome::NotStored(Why::NotTheHead | Why::Changed)) = outcome {
            meter::was_stale();
        }
        let turn = self.turn;
        let sent = outcome.map(|outcome| match outcome {
            Outcome::Stored(view) => Sent::Stored(view),
            Outcome::NotStored(why) => Sent::NotStored(why, turn),
        });
        let Err(unheard) = self.caller.send(sent) else {
            return;
        };
        let error = match unheard {
            Ok(Sent::Stored(_)) => return,
            // The caller would have looked at the thread, and sent it again or said why not.
            Ok(Sent::NotStored(..)) => Error::Busy {
                thread_id: self.write.thread_id().clone(),
            },
            Err(error) => error,
        };
        tracing::warn!(error = %error.for_log(), "a write failed after its caller was gone");
        if lanes.store.is_closing() {
            lock(&lanes.unreported).push(error);
        }
    }
}

impl Write {
    /// Whether the write can share a transaction: what it relies on is known, and it is small.
    fn can_share(&self) -> bool {
        let known = match self {
            Self::Put(put) => put.required.is_none() && put.lock.view().is_some(),
            Self::Writes(writes) => writes.lock.view().is_some(),
        };
        known && self.bytes() <= BATCH_BYTES
    }

    /// About how long it is, names aside.
    fn bytes(&self) -> usize {
        let chunks = |chunks: &[NewChunk]| -> usize {
            let parts = chunks.iter().flat_map(|new| [&new.content, &new.refs]);
            parts.flatten().map(Vec::len).sum()
        };
        match self {
            Self::Put(put) => {
                put.checkpoint.len()
                    + put.channels.len()
                    + put.unchanged.len()
                    + put.metadata.len()
                    + chunks(&put.chunks)
            }
            Self::Writes(writes) => {
                writes.values.iter().map(Vec::len).sum::<usize>() + chunks(&writes.chunks)
            }
        }
    }

    /// The chunks that are sent with it, and those it relies on.
    fn chunks(&self) -> (&[ContentHash], &[ContentHash]) {
        match self {
            Self::Put(put) => (&put.hashes, put.lock.relied()),
            Self::Writes(writes) => (&writes.hashes, writes.lock.relied()),
        }
    }

    fn thread_id(&self) -> &ThreadId {
        match self {
            Self::Put(put) => &put.thread_id,
            Self::Writes(writes) => &writes.address.thread_id,
        }
    }

    /// Whether both may write the same rows, which one statement can't.
    fn collides(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Writes(a), Self::Writes(b)) => {
                a.address.thread_id == b.address.thread_id
                    && a.address.checkpoint_ns == b.address.checkpoint_ns
                    && a.address.checkpoint_id == b.address.checkpoint_id
                    && a.task_id == b.task_id
            }
            _ => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
