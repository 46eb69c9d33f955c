//! Sending writes: those that wait at the same moment share a transaction.
//!
//! A write that finds a free lane goes out at once, as a statement of its own if it is alone; its
//! caller sends it if no other call is under way. While all lanes are busy, writes queue up, and
//! the lane that is free next takes the whole queue and sends it as one statement. No write waits
//! for others to come: there is no timer.
//!
//! **Invariant:** a thread's order isn't kept here. A write is only handed over in its
//! [`Turn`], which it keeps until its outcome is known: what waits here at the same moment may go
//! out in any order, and a put is the only write of its thread.
//!
//! **Invariant:** the mutexes of the queue and of the lone write are never held at the same time. Of
//! those of the queue and of what is parked, the queue's is taken first.

mod lane;
mod lone;
mod orphan;
mod parked;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::ready;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::batch::send_batch;
use super::call::Call;
use super::meter;
use super::order::Turn;
use super::outgoing::{Outcome, Outgoing, Sent, Why};
use super::refusal::{busy, cut_off, deleted, undecided};
use super::store::Store;
use crate::{Error, Result, ThreadId};
use lane::{LANE_TIME, Lane, Sending};
pub(super) use lone::Begun;
use lone::{Caller, Lone};
use orphan::Orphan;
use parked::{Blocked, Parked};

/// Statements under way at once. With one, a few writers wait for each other; with more, many
/// writers are split into smaller batches. Two was fastest (`docs/speed.md`).
const LANES: usize = 2;

/// How many writes may wait, or be under way. Further ones wait before they are handed over.
const ACCEPTED: usize = 1024;

/// How many writes share a transaction at most.
const BATCH_WRITES: usize = 64;

/// About how many bytes share a transaction at most; a write that is larger by itself goes alone.
const BATCH_BYTES: usize = 512 << 10;

/// How many batches of a write may fail before it is sent alone, whatever becomes of those before it. On a server that
/// is too slow for a batch, each further one would take a statement time-out.
const FAILED_BATCHES: usize = 4;

/// The writes that were handed over.
pub(super) struct Lanes {
    pub(super) store: Arc<Store>,
    /// How many there are; none if each write goes alone.
    count: usize,
    accepted: Arc<Semaphore>,
    queue: Mutex<Queue>,
    lone: Lone,
    parked: Parked,
    /// Failures since the close began, of writes whose callers were gone: `close` reports them.
    unreported: Mutex<Vec<Error>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Job>,
    busy: usize,
}

/// A write that was handed over, with its caller, who waits for the outcome.
struct Job {
    lanes: Arc<Lanes>,
    write: Outgoing,
    call: Option<Call>,
    /// When it was parked, for the first time.
    parked: Option<Instant>,
    failed_batches: usize,
    /// None once the outcome is known.
    waiting: Option<Waiting>,
}

/// Writes that were sent together, in vain.
struct Failed {
    jobs: Vec<Job>,
    /// Whether the server has said why.
    is_answered: bool,
}

/// What a write holds until its outcome is known.
struct Waiting {
    turn: Turn,
    caller: oneshot::Sender<Reply>,
    /// The room it takes, its share of the gauge, and what `close` waits for.
    _held: (OwnedSemaphorePermit, meter::UnderWay, TaskTrackerToken),
}

/// What a caller is told of its write.
struct Reply {
    sent: Result<Sent<Turn>>,
    /// Who the write was, if it wasn't stored.
    write: Option<Box<Unstored>>,
}

/// A write that wasn't stored.
struct Unstored {
    operation: &'static str,
    call: Option<Call>,
    thread_id: ThreadId,
    /// None if it isn't a put.
    put: Option<Orphan>,
}

/// The reply that a caller waits for. If it is dropped with the reply in it, nobody has heard that.
struct Awaited<'a> {
    lanes: &'a Arc<Lanes>,
    reply: oneshot::Receiver<Reply>,
}

impl Lanes {
    /// Makes lanes for a pool of connections, of which reads need half.
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
            parked: Parked::default(),
            unreported: Mutex::default(),
        })
    }

    /// Begins a call. From now on no write under way depends on its caller: this call might wait
    /// for that write, and that caller for this call.
    pub(super) fn begin(&self) -> Begun<'_> {
        self.lone.begin()
    }

    /// Ends the writes under way, and admits no further call. It reports the failures whose callers
    /// were gone, since the close began.
    pub(super) async fn close(&self) -> Result<()> {
        self.store.begin_close();
        // From now on tasks send all writes, also those that are admitted and not offered yet.
        self.lone.seal();
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

    /// Hands a write over, and gives its turn back if it wasn't stored. From then on it is sent
    /// even if the caller is dropped, and keeps its turn until its outcome is known.
    pub(super) async fn send(self: &Arc<Self>, write: Outgoing, turn: Turn) -> Result<Sent<Turn>> {
        let under_way = meter::UnderWay::new();
        let accepted = Arc::clone(&self.accepted);
        let Ok(accepted) = accepted.acquire_owned().await else {
            return Err(Error::Closed);
        };
        meter::sent(
            write.bytes(),
            write.chunks.hashes.len(),
            write.chunks.relied.len(),
        );
        let (operation, statement) = (write.operation(), write.statement_name());
        let (caller, reply) = oneshot::channel();
        let mut awaited = Awaited { lanes: self, reply };
        let sender = self.accept(Job {
            lanes: Arc::clone(self),
            write,
            call: Call::current(),
            parked: None,
            failed_batches: 0,
            waiting: Some(Waiting {
                turn,
                caller,
                _held: (accepted, under_way, self.store.admit()?),
            }),
        });
        let reply = poll_fn(|context| {
            if let Some(sender) = &sender {
                ready!(sender.poll(context));
            }
            Pin::new(&mut awaited.reply).poll(context)
        });
        match reply.await {
            Ok(reply) => reply.sent,
            Err(_) => Err(cut_off(operation, statement)),
        }
    }

    /// Whether a write may share a transaction with others.
    fn shares(&self, write: &Outgoing) -> bool {
        self.count > 0 && write.can_share() && write.bytes() <= BATCH_BYTES
    }

    /// Sends a write, or lets it wait for a lane, or for one that waits for the lock of the same
    /// thread. Its caller sends it if no other call is under way.
    fn accept(self: &Arc<Self>, job: Job) -> Option<Caller<'_>> {
        let shares = self.shares(&job.write);
        let job = match self.parked.pass(job, shares) {
            Ok(job) => job,
            Err(thread_id) => {
                self.try_parked(&thread_id);
                return None;
            }
        };
        let job = match shares {
            true => self.wait_or_take_lane(job)?,
            false => job,
        };
        let offered = match self.store.is_at_home() {
            true => self.lone.offer(job, |job| Sending::new(self, job, shares)),
            false => Err(job),
        };
        let job = match offered {
            Ok(caller) => return Some(caller),
            Err(job) => job,
        };
        if shares {
            lock(&self.queue).waiting.push_back(job);
            Lane::start(self);
        } else {
            Sending::new(self, job, false).spawn();
        }
        None
    }

    /// Gives a write back if a lane is free, which is busy from then on. Otherwise it waits.
    fn wait_or_take_lane(&self, job: Job) -> Option<Job> {
        let mut queue = lock(&self.queue);
        if queue.busy == self.count {
            queue.waiting.push_back(job);
            return None;
        }
        queue.busy += 1;
        Some(job)
    }

    /// What goes out next: everything that waits, as far as it fits into one transaction.
    fn next_jobs(self: &Arc<Self>) -> Option<Vec<Job>> {
        let mut queue = lock(&self.queue);
        let mut jobs: Vec<Job> = Vec::new();
        let mut parked = Vec::new();
        let mut left = VecDeque::new();
        let mut bytes = 0;
        while let Some(job) = queue.waiting.pop_front() {
            // What is parked takes none of the room.
            let job = match self.parked.pass(job, true) {
                Ok(job) => job,
                Err(thread_id) => {
                    parked.push(thread_id);
                    continue;
                }
            };
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
        drop(queue);
        for thread_id in parked {
            self.try_parked(&thread_id);
        }
        (!jobs.is_empty()).then_some(jobs)
    }

    async fn send_together(self: Arc<Self>, jobs: Vec<Job>) {
        meter::batched(jobs.len());
        if jobs.len() == 1 {
            for job in jobs {
                Arc::clone(&self).send_alone(job).await;
            }
            return;
        }
        let Err(Failed { jobs, is_answered }) = self.send_batched(jobs).await else {
            return;
        };
        let mut threads: HashMap<ThreadId, Vec<Job>> = HashMap::new();
        for job in jobs {
            let jobs = threads.entry(job.write.thread_id.clone());
            jobs.or_default().push(job);
        }
        for jobs in threads.into_values() {
            self.send_singly(jobs, is_answered);
        }
    }

    /// Sends writes as one statement. If it fails, they are given back: one bad write fails all of
    /// them, or what became of them is unknown. Each is to be sent alone then.
    async fn send_batched(self: &Arc<Self>, mut jobs: Vec<Job>) -> Result<(), Failed> {
        // Programs that write to the same threads insert their rows in the same order. Where they
        // don't after all, PostgreSQL ends one statement as a deadlock, and its writes go alone.
        jobs.sort_by(|a, b| a.write.thread_id.cmp(&b.write.thread_id));
        let writes: Vec<_> = jobs.iter().map(|job| &job.write).collect();
        let outcomes = match send_batch(&self.store, &writes).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                for job in &mut jobs {
                    job.failed_batches += 1;
                    if let Some(call) = &job.call {
                        call.retried(&error);
                    }
                }
                let is_answered = matches!(
                    error,
                    db::Error::Query { .. } | db::Error::StatementTimeout { .. }
                );
                let error = error.for_log();
                tracing::debug!(%error, writes = jobs.len(), "sending each write of a batch alone");
                return Err(Failed { jobs, is_answered });
            }
        };
        for (job, outcome) in jobs.into_iter().zip(outcomes) {
            match outcome {
                Some(outcome) => job.answer(Ok(outcome)),
                // Its thread is locked, or isn't as it was.
                None => self.send_blocked(job, true),
            }
        }
        Ok(())
    }

    /// Sends writes to one thread, of a batch that has failed. If the server didn't answer, the first one
    /// shows whether it does again.
    fn send_singly(self: &Arc<Self>, jobs: Vec<Job>, is_answered: bool) {
        if is_answered {
            self.store.spawn(Arc::clone(self).send_in_turn(jobs));
        } else {
            for job in jobs {
                self.send_blocked(job, true);
            }
        }
    }

    /// Sends writes to one thread alone, one after the other, so that they hold one connection. Once one
    /// takes long, those after it are tried without it.
    async fn send_in_turn(self: Arc<Self>, jobs: Vec<Job>) {
        let mut jobs = jobs.into_iter();
        while let Some(job) = jobs.next() {
            let thread_id = job.write.thread_id.clone();
            let mut sending = pin!(Arc::clone(&self).send_alone(job));
            if timeout(LANE_TIME, sending.as_mut()).await.is_ok() {
                continue;
            }
            let _blocked = Blocked::note(&self, thread_id.clone());
            for job in jobs {
                if job.failed_batches < FAILED_BATCHES {
                    self.send_blocked(job, false);
                } else {
                    self.store.spawn(Arc::clone(&self).send_alone(job));
                }
            }
            self.try_parked(&thread_id);
            return sending.await;
        }
    }

    async fn send_alone(self: Arc<Self>, job: Job) {
        let sending = job.write.send(&self.store);
        let outcome = Call::work_for(job.call.as_ref(), pin!(sending)).await;
        job.answer(outcome);
    }

    /// Sees to a reply that nobody has heard.
    fn unheard(self: &Arc<Self>, reply: Reply) {
        let error = match (reply.sent, reply.write.map(|write| *write)) {
            (Err(error), _) => error,
            (Ok(Sent::Stored(_)), _) | (_, None) => return,
            (Ok(Sent::NotStored(Why::NotThisGeneration, _)), Some(unstored)) => {
                deleted(&unstored.thread_id)
            }
            (_, Some(unstored)) => {
                let Some(put) = unstored.put else {
                    let error = busy(&unstored.thread_id);
                    let call = unstored.call.as_ref();
                    return self.report(undecided(call, unstored.operation, error));
                };
                let lanes = Arc::clone(self);
                self.store.spawn(async move {
                    if let Some(error) = put.failure(&lanes.store).await {
                        lanes.report(error);
                    }
                });
                return;
            }
        };
        self.report(error);
    }

    /// Logs the failure of a write whose caller is gone, and keeps it for a close.
    pub(super) fn report(&self, error: Error) {
        tracing::warn!(error = %error.for_log(), "a write failed after its caller was gone");
        if self.store.is_closing() {
            lock(&self.unreported).push(error);
        }
    }

    /// Fails the writes that wait: the runtime whose task was to send them has ended.
    fn abandon(&self) {
        let waiting = std::mem::take(&mut lock(&self.queue).waiting);
        for job in waiting {
            let operation = job.write.operation();
            let source = db::Error::RuntimeEnded;
            job.answer(Err(Error::Database { operation, source }));
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.waiting.is_some() {
            let error = cut_off(self.write.operation(), self.write.statement_name());
            self.settle(Err(error));
        }
    }
}

impl Job {
    fn answer(mut self, outcome: Result<Outcome>) {
        self.settle(outcome);
    }

    /// Tells the caller the outcome, unless that was done.
    fn settle(&mut self, outcome: Result<Outcome>) {
        let Some(Waiting {
            turn,
            caller,
            _held,
        }) = self.waiting.take()
        else {
            return;
        };
        if let Ok(Outcome::NotStored(Why::NotTheHead | Why::Changed)) = &outcome {
            meter::was_stale();
        }
        self.lanes.parked.ended(&self.write, &outcome);
        let (call, operation) = (self.call.as_ref(), self.write.operation());
        let outcome = outcome.map_err(|error| undecided(call, operation, error));
        let is_unstored = matches!(outcome, Ok(Outcome::NotStored(_)));
        let write = is_unstored.then(|| {
            Box::new(Unstored {
                operation,
                call: call.cloned(),
                thread_id: self.write.thread_id.clone(),
                put: Orphan::of(&self.write),
            })
        });
        let sent = outcome.map(|outcome| match outcome {
            Outcome::Stored(view) => {
                // The next put looks for them as soon as it has the turn.
                self.write.keep_lists(&self.lanes.store, view);
                drop(turn);
                Sent::Stored(view)
            }
            Outcome::Ignored(view) => Sent::Stored(view),
            Outcome::NotStored(why) => {
                Sent::NotStored(why, (turn, std::mem::take(&mut self.write.growing)))
            }
        });
        if let Err(unheard) = caller.send(Reply { sent, write }) {
            self.lanes.unheard(unheard);
        }
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        self.reply.close();
        if let Ok(unheard) = self.reply.try_recv() {
            self.lanes.unheard(unheard);
        }
    }
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
