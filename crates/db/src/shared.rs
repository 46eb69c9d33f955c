//! What a pool, its connections and those who use them share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use settings::{PoolMode, Settings};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Error;
use crate::dependents::Dependents;
use crate::meter::Meter;
use crate::preparation::Unpreparable;
use crate::runtime::Runtime;

/// What a pool, its connections and those who use them share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) runtime: Runtime,
    pub(crate) mode: PoolMode,
    pub(crate) network_timeout: Duration,
    /// What has to finish its work before a close.
    pub(crate) dependents: Dependents,
    /// A close has begun.
    pub(crate) ending: CancellationToken,
    /// No connection can be acquired any more.
    pub(crate) closing: CancellationToken,
    /// Every connection ends.
    pub(crate) hangup: CancellationToken,
    /// Connections that are in use, wanted or being cleaned.
    pub(crate) in_use: TaskTracker,
    /// Tasks and attempts that hold a socket.
    pub(crate) sockets: TaskTracker,
    /// How many callers wait for a connection.
    pub(crate) waiting: AtomicU32,
    /// A connection has ended by itself.
    pub(crate) lost: Notify,
    /// How many tenures of connections have ended.
    pub(crate) tenures: Arc<AtomicU64>,
    /// Why the last attempt to connect failed, unless one has succeeded since.
    pub(crate) failure: watch::Sender<Option<Arc<Error>>>,
    pub(crate) meter: Arc<Meter>,
    /// What the pooler can't prepare any more.
    pub(crate) unpreparable: Unpreparable,
}

impl Shared {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            runtime: Runtime::current(),
            mode: settings.pool_mode(),
            network_timeout: settings.network_timeout(),
            dependents: Dependents::default(),
            ending: CancellationToken::new(),
            closing: CancellationToken::new(),
            hangup: CancellationToken::new(),
            in_use: TaskTracker::new(),
            sockets: TaskTracker::new(),
            waiting: AtomicU32::new(0),
            lost: Notify::new(),
            tenures: Arc::default(),
            failure: watch::Sender::default(),
            meter: Arc::new(Meter::new(settings.application_name())),
            unpreparable: Unpreparable::default(),
        }
    }

    /// Counts a caller as waiting for as long as the guard lives.
    pub(crate) fn wait(&self) -> impl Drop + use<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }
}

struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
