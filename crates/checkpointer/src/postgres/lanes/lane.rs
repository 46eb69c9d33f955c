//! A lane that is busy, and a write that is sent by itself.

use std::ops::DerefMut;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::{Job, Lanes, lock};
use crate::postgres::meter;

/// How long a statement keeps its lane. What takes longer waits for something that is none of the
/// other writes' business, such as a lock that somebody else holds.
const LANE_TIME: Duration = Duration::from_millis(50);

/// A busy lane. Dropping it frees the lane, for the next writes if some wait.
pub(super) struct Lane {
    lanes: Arc<Lanes>,
    runtime: Handle,
}

impl Lane {
    /// Starts a task that sends whatever waits, in a lane that is counted as busy already.
    pub(super) fn start(lanes: &Arc<Lanes>, runtime: &Handle) {
        let store = Arc::clone(&lanes.store);
        let (lanes, handle) = (Arc::clone(lanes), runtime.clone());
        // The task makes the lane: if the runtime is gone, none is dropped here.
        let sending = async move { Self::new(lanes, handle).send_waiting().await };
        store.spawn_on(sending, runtime);
    }

    fn new(lanes: Arc<Lanes>, runtime: Handle) -> Self {
        Self { lanes, runtime }
    }

    async fn send_waiting(self) {
        let mut lane = self;
        while let Some(jobs) = lane.lanes.next_jobs() {
            let lanes = Arc::clone(&lane.lanes);
            match lane.keep_for(pin!(lanes.send_together(jobs))).await {
                Some(kept) => lane = kept,
                None => return,
            }
        }
    }

    /// Keeps the lane while something is sent, unless that takes too long.
    async fn keep_for(
        self,
        mut sending: Pin<impl DerefMut<Target: Future<Output = ()>>>,
    ) -> Option<Self> {
        if timeout(LANE_TIME, sending.as_mut()).await.is_ok() {
            return Some(self);
        }
        drop(self);
        sending.await;
        None
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut queue = lock(&self.lanes.queue);
        if queue.waiting.is_empty() {
            queue.busy -= 1;
        } else {
            Self::start(&self.lanes, &self.runtime);
        }
    }
}

/// A write that is sent alone.
pub(super) struct Sending {
    write: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// The lane of one that can share a transaction.
    lane: Option<Lane>,
    lanes: Arc<Lanes>,
    runtime: Handle,
    _under_way: TaskTrackerToken,
}

impl Sending {
    /// Takes a write on, in a lane that is counted as busy already or in none.
    pub(super) fn new(
        lanes: &Arc<Lanes>,
        job: Job,
        in_lane: bool,
        under_way: TaskTrackerToken,
    ) -> Self {
        let runtime = Handle::current();
        meter::batched(1);
        Self {
            write: Box::pin(Arc::clone(lanes).send_alone(job)),
            lane: in_lane.then(|| Lane::new(Arc::clone(lanes), runtime.clone())),
            lanes: Arc::clone(lanes),
            runtime,
            _under_way: under_way,
        }
    }

    /// Sends the write on, as far as it goes.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let _runtime = self.runtime.enter();
        self.write.as_mut().poll(context)
    }

    /// Sends the rest in a task of its own.
    pub(super) fn spawn(self) {
        let (lanes, runtime) = (Arc::clone(&self.lanes), self.runtime.clone());
        let sending = async move {
            match self.lane {
                None => self.write.await,
                Some(lane) => {
                    if let Some(lane) = lane.keep_for(self.write).await {
                        lane.send_waiting().await;
                    }
                }
            }
        };
        lanes.store.spawn_on(sending, &runtime);
    }
}
