//! A lane that is busy, and a write that is sent by itself.

use std::ops::DerefMut;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::timeout;

use super::parked::Blocked;
use super::{Job, Lanes, lock};
use crate::ThreadId;
use crate::postgres::meter;

/// How long a statement keeps its lane. One that takes longer waits for something that doesn't
/// concern the other writes, such as a lock that another transaction holds.
pub(super) const LANE_TIME: Duration = Duration::from_millis(50);

/// A busy lane. Dropping it frees the lane, for the next writes if some wait.
pub(super) struct Lane {
    lanes: Arc<Lanes>,
    /// Whether the task that was started for it runs; if it never does, its runtime has ended.
    runs: bool,
}

impl Lane {
    /// Starts a task that sends what waits, in a lane that is counted as busy already.
    pub(super) fn start(lanes: &Arc<Lanes>) {
        let lane = Self {
            lanes: Arc::clone(lanes),
            runs: false,
        };
        lanes.store.spawn(lane.send_waiting());
    }

    async fn send_waiting(self) {
        let mut lane = self;
        lane.runs = true;
        while let Some(jobs) = lane.lanes.next_jobs() {
            let lanes = Arc::clone(&lane.lanes);
            let thread_id = match &*jobs {
                [job] => Some(job.write.thread_id.clone()),
                _ => None,
            };
            let sending = pin!(lanes.send_together(jobs));
            match lane.keep_for(sending, thread_id).await {
                Some(kept) => lane = kept,
                None => return,
            }
        }
    }

    /// Keeps the lane while something is sent, unless that takes too long. `thread_id` is the thread
    /// of a write that is alone.
    async fn keep_for(
        self,
        mut sending: Pin<impl DerefMut<Target: Future<Output = ()>>>,
        thread_id: Option<ThreadId>,
    ) -> Option<Self> {
        if timeout(LANE_TIME, sending.as_mut()).await.is_ok() {
            return Some(self);
        }
        let _blocked = thread_id.and_then(|thread_id| Blocked::note(&self.lanes, thread_id));
        drop(self);
        sending.await;
        None
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut queue = lock(&self.lanes.queue);
        let goes_on = self.runs && !queue.waiting.is_empty();
        if !goes_on {
            queue.busy -= 1;
        }
        drop(queue);
        if goes_on {
            Self::start(&self.lanes);
        } else if !self.runs {
            self.lanes.abandon();
        }
    }
}

/// A write that is sent alone.
pub(super) struct Sending {
    write: Pin<Box<dyn Future<Output = ()> + Send>>,
    thread_id: ThreadId,
    /// The lane of one that can share a transaction.
    lane: Option<Lane>,
    lanes: Arc<Lanes>,
}

impl Sending {
    /// Takes a write on, in a lane that is counted as busy already or in none.
    pub(super) fn new(lanes: &Arc<Lanes>, job: Job, in_lane: bool) -> Self {
        meter::batched(1);
        Self {
            thread_id: job.write.thread_id.clone(),
            write: Box::pin(Arc::clone(lanes).send_alone(job)),
            lane: in_lane.then(|| Lane {
                lanes: Arc::clone(lanes),
                runs: true,
            }),
            lanes: Arc::clone(lanes),
        }
    }

    /// Sends the write on, as far as it goes.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _runtime = self.lanes.store.runtime().enter();
        self.write.as_mut().poll(context)
    }

    /// Sends the rest in a task of its own.
    pub(super) fn spawn(self) {
        let Self {
            write,
            thread_id,
            lane,
            lanes,
        } = self;
        lanes.store.spawn(async move {
            match lane {
                None => write.await,
                Some(lane) => {
                    if let Some(lane) = lane.keep_for(write, Some(thread_id)).await {
                        lane.send_waiting().await;
                    }
                }
            }
        });
    }
}
