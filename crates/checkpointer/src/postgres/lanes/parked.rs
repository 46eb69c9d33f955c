//! Writes to threads that somebody else has locked.
//!
//! A write that waits for the lock of its thread holds a connection. Further writes to the thread
//! would each hold another one, until calls for other threads find none. So they are parked behind
//! the first, and come back to the lanes once its outcome is known. If it has failed for the lock,
//! those that have waited for as long as it was tried fail with it.
//!
//! What is parked holds nothing that the first one, or the transaction that it waits for, could need.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;

use super::{Job, Lane, Lanes, lock};
use crate::postgres::refusal::busy;
use crate::{Error, ThreadId};

/// The threads whose lock a write waits for, with the writes behind it.
#[derive(Default)]
pub(super) struct Parked(Mutex<HashMap<ThreadId, Behind>>);

/// What is parked behind a write.
#[derive(Default)]
struct Behind {
    jobs: Vec<(Instant, Job)>,
    /// Whether the write has failed in a way that may pass.
    has_failed: bool,
}

/// A write that waits for the lock of its thread. Dropping it lets those behind it go.
pub(super) struct Blocked {
    lanes: Arc<Lanes>,
    thread_id: ThreadId,
}

impl Parked {
    /// Parks a write, or gives it back if none waits for the lock of its thread.
    pub(super) fn park(&self, job: Job) -> Option<Job> {
        let mut threads = lock(&self.0);
        if threads.is_empty() {
            return Some(job);
        }
        match threads.get_mut(&job.write.thread_id) {
            Some(behind) => {
                behind.jobs.push((Instant::now(), job));
                None
            }
            None => Some(job),
        }
    }

    /// Notes that a write has failed, if others are parked behind it.
    pub(super) fn failed(&self, thread_id: &ThreadId, error: &Error) {
        if error.is_transient()
            && let Some(behind) = lock(&self.0).get_mut(thread_id)
        {
            behind.has_failed = true;
        }
    }
}

impl Blocked {
    /// Notes that a write waits for the lock of its thread, unless another one does.
    pub(super) fn note(lanes: &Arc<Lanes>, thread_id: ThreadId) -> Option<Self> {
        match lock(&lanes.parked.0).entry(thread_id.clone()) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(entry) => entry.insert(Behind::default()),
        };
        Some(Self {
            lanes: Arc::clone(lanes),
            thread_id,
        })
    }

    /// The same for a write that is yet to be sent. If another one waits, it is parked behind that.
    fn note_or_park(lanes: &Arc<Lanes>, job: Job) -> Option<(Self, Job)> {
        match lock(&lanes.parked.0).entry(job.write.thread_id.clone()) {
            Entry::Occupied(mut behind) => {
                behind.get_mut().jobs.push((Instant::now(), job));
                return None;
            }
            Entry::Vacant(entry) => entry.insert(Behind::default()),
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
        self.lanes.come_back(behind.unwrap_or_default());
    }
}

impl Lanes {
    /// Sends a write in a task, without a lane: alone, or after one that waits for the lock of the
    /// same thread.
    pub(super) fn send_blocked(self: &Arc<Self>, job: Job) {
        let Some((blocked, job)) = Blocked::note_or_park(self, job) else {
            return;
        };
        let sending = Arc::clone(self).send_alone(job);
        self.store.spawn(async move {
            sending.await;
            drop(blocked);
        });
    }

    /// Sends what was parked.
    fn come_back(self: &Arc<Self>, behind: Behind) {
        let patience = self.store.database.retries().timeout;
        let mut shared = Vec::new();
        for (parked, job) in behind.jobs {
            if behind.has_failed && (self.store.is_closing() || parked.elapsed() >= patience) {
                let error = busy(&job.write.thread_id);
                job.answer(Err(error));
            } else if self.shares(&job.write) {
                shared.push(job);
            } else {
                self.send_blocked(job);
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
