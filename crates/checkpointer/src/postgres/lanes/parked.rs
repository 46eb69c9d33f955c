//! Writes to threads that somebody else has locked.
//!
//! A write that waits for the lock of its thread holds a connection. Further writes to the thread
//! would each hold another one, until calls for other threads find none. So they are parked behind
//! the first, and come back to the lanes once its outcome is known.
//!
//! - If the first one has failed for the lock, or because the server was out of reach, those that have waited for
//!   about as long as it was tried fail with it. Otherwise each would be tried in vain, one after the other.
//! - If the outcome of the first one is unknown, it says nothing of the thread. But if the first one has used up the
//!   time for retries, those that were in a failed batch before have used it up as well, and fail with it. A write that
//!   was in many failed batches is sent alone; so is each that was in one, once a close has begun, which waits for all.
//! - If the thread wasn't as the first one expected, it isn't for those that expect the same.
//! - A write that merely takes long may wait for something that concerns it alone, such as an output that an
//!   open transaction has stored. What is parked behind it is sent as one statement at a time, which waits for no
//!   lock of a thread, until that has shown that the thread is locked. If the server refuses that, its writes are
//!   sent one by one, up to the next one that takes long.
//!
//! What is parked holds nothing that the first one, or the transaction that it waits for, could need.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use db::SqlState;
use tokio::time::Instant;

use super::lane::{LANE_TIME, Sending};
use super::{BATCH_BYTES, BATCH_WRITES, FAILED_BATCHES, Failed, Job, Lane, Lanes, lock};
use crate::postgres::meter;
use crate::postgres::outgoing::{Outcome, Outgoing, Why};
use crate::postgres::refusal::busy;
use crate::postgres::view::View;
use crate::{Error, Result, ThreadId};

/// The threads of which a write waits, with the writes behind it.
#[derive(Default)]
pub(super) struct Parked(Mutex<HashMap<ThreadId, Behind>>);

/// What is parked behind a write.
struct Behind {
    jobs: Vec<Job>,
    /// Since when the write is known to wait.
    since: Instant,
    /// Whether those behind it would wait as well: a batch has passed over the thread, or has reached no server.
    /// Otherwise the write may wait for something else.
    all_wait: bool,
    /// What of those behind it is under way.
    trial: Option<Trial>,
    last: Last,
}

/// Some of what was parked, on its way. Clones are the same one.
#[derive(Clone)]
struct Trial(Arc<()>);

/// What the write of a thread that ended last has shown.
#[derive(Default)]
enum Last {
    #[default]
    Nothing,
    /// The thread is locked, or keeps changing.
    Busy,
    /// The server is out of reach.
    Unavailable(db::Error),
    /// What became of the write is unknown.
    Unknown(db::Error),
    /// The thread isn't as this says, for those that carry this lease.
    Changed(View, Option<String>),
}

/// A write that waits for the lock of its thread. Dropping it lets those behind it go.
pub(super) struct Blocked {
    lanes: Arc<Lanes>,
    thread_id: ThreadId,
}

impl Parked {
    /// Gives a write back, or parks it if another one waits for the lock of the same thread: then
    /// [`Lanes::try_parked`] is to follow. One that shares no transaction can't be tried, and is parked
    /// only where the thread is known to be locked.
    pub(super) fn pass(&self, job: Job, shares: bool) -> Result<Job, ThreadId> {
        let mut threads = lock(&self.0);
        if threads.is_empty() {
            return Ok(job);
        }
        match threads.get_mut(&job.write.thread_id) {
            Some(behind) if shares || behind.all_wait => {
                let thread_id = job.write.thread_id.clone();
                behind.park(job);
                Err(thread_id)
            }
            _ => Ok(job),
        }
    }

    /// Notes that what was tried has ended, if the thread's first one still waits.
    fn end_trial(&self, thread_id: &ThreadId, ended: &Trial) -> bool {
        let mut threads = lock(&self.0);
        let Some(behind) = threads.get_mut(thread_id) else {
            return false;
        };
        let is_this = |trial: &Trial| Arc::ptr_eq(&trial.0, &ended.0);
        let ends = behind.trial.as_ref().is_some_and(is_this);
        if ends {
            behind.trial = None;
        }
        ends
    }

    /// Notes how a write has ended, if others of its thread are parked.
    pub(super) fn ended(&self, write: &Outgoing, outcome: &Result<Outcome>) {
        if let Some(behind) = lock(&self.0).get_mut(&write.thread_id) {
            behind.last = match (outcome, write.view()) {
                (Err(error), _) => Last::failed(error),
                (Ok(Outcome::NotStored(Why::Changed)), Some(view)) => {
                    Last::Changed(view, write.lease.clone())
                }
                _ => Last::Nothing,
            };
        }
    }
}

impl Behind {
    fn new(all_wait: bool) -> Self {
        Self {
            jobs: Vec::new(),
            since: Instant::now(),
            all_wait,
            trial: None,
            last: Last::default(),
        }
    }

    fn park(&mut self, mut job: Job) {
        // One that is parked again has waited since the first time.
        job.parked.get_or_insert_with(Instant::now);
        self.jobs.push(job);
    }
}

impl Last {
    /// What the failure of a write says of others to its thread.
    fn failed(error: &Error) -> Self {
        let failure = match error {
            Error::Busy { .. } => return Self::Busy,
            Error::Database { source, .. } => source,
            _ => return Self::Nothing,
        };
        match failure {
            db::Error::StatementTimeout { .. } => Self::Busy,
            db::Error::Query { .. } if failure.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                Self::Busy
            }
            _ => match failure.for_another() {
                Some(failure) if failure.is_outcome_unknown() => Self::Unknown(failure),
                Some(failure) => Self::Unavailable(failure),
                // What the server said can't be copied.
                None if failure.is_transient() => Self::Busy,
                None => Self::Nothing,
            },
        }
    }

    /// The error of a write that has waited for that one in vain.
    fn error_for(&self, write: &Outgoing) -> Option<Error> {
        let operation = write.operation();
        let source = match self {
            Self::Nothing | Self::Changed(..) => return None,
            Self::Busy => return Some(busy(&write.thread_id)),
            Self::Unavailable(failure) => failure.for_another()?,
            // Whether this one was stored says what has failed before.
            Self::Unknown(failure) => db::Error::ConnectionLost {
                statement: write.statement_name().to_owned(),
                source: Some(Arc::new(failure.for_another()?)),
            },
        };
        Some(Error::Database { operation, source })
    }

    /// Whether a write would find that its thread isn't as it expects.
    fn is_changed_for(&self, write: &Outgoing) -> bool {
        match self {
            Self::Changed(view, lease) => write.view() == Some(*view) && write.lease == *lease,
            Self::Nothing | Self::Busy | Self::Unavailable(_) | Self::Unknown(_) => false,
        }
    }
}

impl Blocked {
    /// Notes that a write takes long, and may wait for the lock of its thread, unless another one does.
    pub(super) fn note(lanes: &Arc<Lanes>, thread_id: ThreadId) -> Option<Self> {
        match lock(&lanes.parked.0).entry(thread_id.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(entry) => entry.insert(Behind::new(false)),
        };
        Some(Self {
            lanes: Arc::clone(lanes),
            thread_id,
        })
    }

    /// The same for a write that is yet to be sent. If another one waits, it is parked behind that.
    fn note_or_park(lanes: &Arc<Lanes>, job: Job, all_wait: bool) -> Option<(Self, Job)> {
        match lock(&lanes.parked.0).entry(job.write.thread_id.clone()) {
            Entry::Occupied(mut behind) => {
                let behind = behind.get_mut();
                behind.all_wait |= all_wait;
                behind.park(job);
                return None;
            }
            Entry::Vacant(entry) => entry.insert(Behind::new(all_wait)),
        };
        let blocked = Self {
            lanes: Arc::clone(lanes),
            thread_id: job.write.thread_id.clone(),
        };
        Some((blocked, job))
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let behind = lock(&self.lanes.parked.0).remove(&self.thread_id);
        if let Some(behind) = behind {
            self.lanes.come_back(behind);
        }
    }
}

impl Lanes {
    /// Sends a write in a task, without a lane: alone, or after one that waits for the lock of the
    /// same thread. `all_wait` says whether those behind it would wait as well.
    pub(super) fn send_blocked(self: &Arc<Self>, job: Job, all_wait: bool) {
        let Some((blocked, job)) = Blocked::note_or_park(self, job, all_wait) else {
            return;
        };
        let sending = Arc::clone(self).send_alone(job);
        self.store.spawn(async move {
            sending.await;
            drop(blocked);
        });
    }

    /// Sends what is parked behind a write that may wait for something else than the lock of the
    /// thread, unless some of it is under way.
    pub(super) fn try_parked(self: &Arc<Self>, thread_id: &ThreadId) {
        let Some((trial, jobs)) = self.take_parked(thread_id) else {
            return;
        };
        meter::batched(jobs.len());
        let (lanes, thread_id) = (Arc::clone(self), thread_id.clone());
        self.store.spawn(async move {
            if let Err(Failed { jobs, is_answered }) = lanes.send_batched(jobs).await {
                lanes.send_singly(jobs, is_answered);
            }
            if lanes.parked.end_trial(&thread_id, &trial) {
                lanes.try_parked(&thread_id);
            }
        });
    }

    /// Takes what of that fits into one transaction.
    fn take_parked(&self, thread_id: &ThreadId) -> Option<(Trial, Vec<Job>)> {
        let mut threads = lock(&self.parked.0);
        let behind = threads.get_mut(thread_id)?;
        if behind.all_wait || behind.trial.is_some() {
            return None;
        }
        let mut jobs: Vec<Job> = Vec::new();
        let mut bytes = 0;
        for job in std::mem::take(&mut behind.jobs) {
            let fits = self.shares(&job.write)
                && jobs.len() < BATCH_WRITES
                && bytes + job.write.bytes() <= BATCH_BYTES
                && !jobs.iter().any(|other| job.write.collides(&other.write));
            if fits {
                bytes += job.write.bytes();
                jobs.push(job);
            } else {
                behind.jobs.push(job);
            }
        }
        if jobs.is_empty() {
            return None;
        }
        let trial = Trial(Arc::default());
        behind.trial = Some(trial.clone());
        Some((trial, jobs))
    }

    /// Whether a write has waited for another one for so long that it fails as that one did.
    fn is_in_vain(&self, job: &Job, behind: &Behind, is_closing: bool) -> bool {
        let tried = behind.since.elapsed();
        let enough = LANE_TIME.max(tried / 2);
        let has_waited = || job.parked.is_some_and(|parked| parked.elapsed() >= enough);
        let retries = self.store.database.retries();
        // The last pause isn't begun if it would end too late.
        let whole_time = retries.timeout.saturating_sub(retries.longest_pause);
        behind.all_wait
            && match behind.last {
                Last::Nothing | Last::Changed(..) => false,
                Last::Busy | Last::Unavailable(_) => is_closing || has_waited(),
                Last::Unknown(_) => job.failed_batches > 0 && tried >= whole_time && has_waited(),
            }
    }

    /// Sends what was parked.
    fn come_back(self: &Arc<Self>, mut behind: Behind) {
        let is_closing = self.store.is_closing();
        let failed_batches = match behind.last {
            Last::Unknown(_) if is_closing => 1,
            _ => FAILED_BATCHES,
        };
        let mut shared = Vec::new();
        for job in std::mem::take(&mut behind.jobs) {
            let failure = match self.is_in_vain(&job, &behind, is_closing) {
                true => behind.last.error_for(&job.write),
                false => None,
            };
            if let Some(error) = failure {
                job.answer(Err(error));
            } else if behind.last.is_changed_for(&job.write) {
                job.answer(Ok(Outcome::NotStored(Why::Changed)));
            } else if self.shares(&job.write) && job.failed_batches < failed_batches {
                shared.push(job);
            } else {
                Sending::new(self, job, false).spawn();
            }
        }
        let mut queue = lock(&self.queue);
        queue.waiting.extend(shared);
        // A lane that is busy takes them next.
        if !queue.waiting.is_empty() && queue.busy < self.count {
            queue.busy += 1;
            drop(queue);
            Lane::start(self);
        }
    }
}
