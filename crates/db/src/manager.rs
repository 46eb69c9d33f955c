use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bb8::ManageConnection;
use settings::{PoolMode, Settings};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::condition::Condition;
use crate::connect::{Connector, Driver};
use crate::driver::drive;
use crate::error::Chain;
use crate::link::Link;
use crate::tenure::Tenure;
use crate::{Error, Result};

/// What the pool, its connections and their borrowers share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Nothing is lent any more.
    pub(crate) closing: CancellationToken,
    /// Every connection ends.
    pub(crate) hangup: CancellationToken,
    /// What is lent, wanted or being cleaned.
    pub(crate) loans: TaskTracker,
    /// The tasks and attempts that hold a socket.
    pub(crate) sockets: TaskTracker,
    /// How many callers wait for a connection.
    pub(crate) waiting: AtomicU32,
    /// How many tenures of connections have ended.
    tenures: Arc<AtomicU64>,
    failure: Mutex<Option<Arc<Error>>>,
}

impl Shared {
    /// Why the last attempt to connect failed, unless one has succeeded since.
    pub(crate) fn failure(&self) -> MutexGuard<'_, Option<Arc<Error>>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What the server said about itself on the first connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) version: u32,
    pub(crate) encoding: String,
}

/// Opens, checks and discards connections on the pool's behalf.
#[derive(Debug)]
pub(crate) struct Manager {
    connector: Connector,
    mode: PoolMode,
    shared: Arc<Shared>,
    /// The connection that proved that the server answers, until the pool asks
    /// for its first one.
    proven: Mutex<Option<Link>>,
}

impl Manager {
    /// Proves that the server answers.
    pub(crate) async fn new(settings: &Settings, shared: Arc<Shared>) -> Result<(Self, Server)> {
        let mut manager = Self {
            connector: Connector::new(settings),
            mode: settings.pool_mode(),
            shared,
            proven: Mutex::new(None),
        };
        let tenure = Tenure::begin(&manager.shared.tenures);
        let (client, driver) = manager.connector.connect_patiently().await?;
        let server = Server {
            version: version_number(driver.parameter("server_version").unwrap_or_default()),
            encoding: driver
                .parameter("server_encoding")
                .unwrap_or_default()
                .to_owned(),
        };
        manager.proven = Mutex::new(Some(manager.link(client, driver, tenure)));
        Ok((manager, server))
    }

    fn link(&self, client: Client, driver: Driver, tenure: Tenure) -> Link {
        let condition = Arc::new(Condition::default());
        let hangup = self.shared.hangup.child_token();
        let cancel = client.cancel_token();
        self.shared.sockets.spawn(drive(
            driver,
            Arc::clone(&condition),
            cancel,
            hangup.clone(),
        ));
        Link::new(client, self.mode, condition, tenure, hangup)
    }

    fn proven(&self) -> Option<Link> {
        self.proven
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

impl ManageConnection for Manager {
    type Connection = Link;
    type Error = Arc<Error>;

    async fn connect(&self) -> Result<Link, Arc<Error>> {
        if let Some(link) = self.proven().filter(|link| !link.is_closed()) {
            return Ok(link);
        }
        let tenure = Tenure::begin(&self.shared.tenures);
        let attempt = self.shared.sockets.track_future(self.connector.connect());
        match self.shared.closing.run_until_cancelled(attempt).await {
            Some(Ok((client, driver))) => {
                debug!("opened a connection");
                *self.shared.failure() = None;
                Ok(self.link(client, driver, tenure))
            }
            Some(Err(error)) => {
                warn!(error = %Chain(&error), "failed to open a connection for the pool");
                let error = Arc::new(error);
                *self.shared.failure() = Some(Arc::clone(&error));
                Err(error)
            }
            None => Err(Arc::new(Error::Closed)),
        }
    }

    async fn is_valid(&self, link: &mut Link) -> Result<(), Arc<Error>> {
        if link.check().await {
            return Ok(());
        }
        debug!("discarding a connection that doesn't answer, or is on a read-only server");
        Err(Arc::new(Error::ConnectionLost {
            statement: "a check".to_owned(),
            source: link.condition().lost(),
        }))
    }

    fn has_broken(&self, link: &mut Link) -> bool {
        !link.given_back()
    }
}

/// The number that `server_version_num` gives: `15.4 (Debian 15.4-1)` is
/// 150004, `17beta1` is 170000.
pub(crate) fn version_number(text: &str) -> u32 {
    let mut parts = text
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let major = parts.next().unwrap_or(0);
    let minor = match text
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .starts_with('.')
    {
        true => parts.next().unwrap_or(0),
        false => 0,
    };
    major * 10_000 + minor
}
