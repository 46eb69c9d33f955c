//! The task that looks for new heads, for all watchers of a checkpointer.
//!
//! It starts with the first watcher, and ends with the last one or with a close. It looks more
//! often while something changes, and at once after a write of this program.

mod duty;
mod looks;
mod pace;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::meter;
use super::store::Store;
use crate::Error;
use crate::watchers::Watchers;
use duty::{Duty, OnDuty};
use looks::Looks;
use pace::Pace;

/// The watchers of a checkpointer.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) watchers: Arc<Watchers>,
    /// How long a look follows the one before at the latest.
    interval: Duration,
    duty: Duty,
}

/// The task.
struct Lookout {
    store: Arc<Store>,
    watchers: Arc<Watchers>,
    duty: OnDuty,
    looks: Looks,
    pace: Pace,
    has_failed: bool,
}

impl Watching {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            watchers: Arc::default(),
            interval,
            duty: Duty::default(),
        }
    }

    /// Starts the task, unless it runs. It sees a watcher that was added before.
    pub(super) fn start(&self, store: &Arc<Store>) {
        let Some(duty) = self.duty.take(&self.watchers) else {
            return;
        };
        let lookout = Lookout {
            store: Arc::clone(store),
            watchers: Arc::clone(&self.watchers),
            duty,
            looks: Looks::default(),
            pace: Pace::new(self.interval),
            has_failed: false,
        };
        store.spawn(lookout.run());
    }
}

impl Lookout {
    async fn run(mut self) {
        let closing = self.store.closing.clone();
        closing.run_until_cancelled(self.look_out()).await;
    }

    async fn look_out(&mut self) {
        while self.duty.is_needed() {
            let started = Instant::now();
            // Those who come during the look wait for the next one.
            let waiting = self.watchers.waiting();
            let outcome = self.looks.look(&self.store, &self.watchers).await;
            meter::looked(&outcome, started.elapsed());
            match outcome {
                Ok(changes) => {
                    if std::mem::take(&mut self.has_failed) {
                        tracing::info!("watching goes on");
                    }
                    for mailbox in waiting {
                        self.looks.show(&mailbox);
                        mailbox.begin();
                    }
                    self.pace.looked(changes, started.elapsed());
                }
                Err(error) if is_over(&error) => return,
                Err(error) => {
                    if !std::mem::replace(&mut self.has_failed, true) {
                        tracing::warn!(error = %error.for_log(), "watching has to wait");
                    }
                    self.pace.failed();
                }
            }
            self.pace.pause(&self.watchers.stirred).await;
        }
    }
}

/// Whether no look can succeed any more.
fn is_over(error: &Error) -> bool {
    match error {
        Error::Closed => true,
        Error::Database { source, .. } => {
            matches!(source, db::Error::Closed | db::Error::RuntimeEnded)
        }
        _ => false,
    }
}
