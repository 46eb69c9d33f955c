use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::ManageConnection;
use settings::{PoolMode, Settings};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::condition::Condition;
use crate::connect::{Connector, Opened};
use crate::driver::drive;
use crate::error::Chain;
use crate::link::Link;
use crate::meter::{Meter, Place};
use crate::tenure::Tenure;
use crate::{Error, Result};

/// How long to wait before another attempt where trying again won't help: until
/// somebody has mended what is wrong.
const HOPELESS_PAUSE: Duration = Duration::from_secs(5);

/// What the pool, its connections and their borrowers share.
#[derive(Debug)]
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
    /// A connection has ended by itself.
    pub(crate) lost: Notify,
    /// How many tenures of connections have ended.
    tenures: Arc<AtomicU64>,
    /// Why the last attempt to connect failed, unless one has succeeded since.
    pub(crate) failure: watch::Sender<Option<Arc<Error>>>,
    pub(crate) meter: Arc<Meter>,
}

impl Shared {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            closing: CancellationToken::new(),
            hangup: CancellationToken::new(),
            loans: TaskTracker::new(),
            sockets: TaskTracker::new(),
            waiting: AtomicU32::new(0),
            lost: Notify::new(),
            tenures: Arc::default(),
            failure: watch::Sender::default(),
            meter: Arc::new(Meter::new(settings.application_name())),
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

/// What the server said about itself on the first connection.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) version: u32,
    pub(crate) encoding: String,
    /// The TLS version of that connection, or `off`.
    pub(crate) tls: &'static str,
}

/// Opens, checks and discards connections on the pool's behalf.
#[derive(Debug)]
pub(crate) struct Manager {
    connector: Connector,
    mode: PoolMode,
    network_timeout: Duration,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    shared: Arc<Shared>,
    /// The connection that proved that the server answers, until the pool asks
    /// for its first one.
    proven: Mutex<Option<Link>>,
}

impl Manager {
    /// Proves that the server answers.
    pub(crate) async fn new(settings: &Settings, shared: Arc<Shared>) -> Result<(Self, Server)> {
        let mut manager = Self {
            connector: Connector::new(settings, Arc::clone(&shared.meter)),
            mode: settings.pool_mode(),
            network_timeout: settings.network_timeout(),
            idle_timeout: settings.idle_timeout(),
            max_lifetime: settings.max_lifetime(),
            shared,
            proven: Mutex::new(None),
        };
        let started = Instant::now();
        let mut backoff = Backoff::default();
        let (link, server) = loop {
            let error = match manager.prove(settings).await {
                Ok(proven) => break proven,
                Err(error) => error,
            };
            // Lost after it was opened: opening one has a patience of its own.
            let left = settings.startup_timeout().saturating_sub(started.elapsed());
            if left.is_zero() || !error.is_outcome_unknown() {
                return Err(error);
            }
            warn!(error = %Chain(&error), "lost a new connection, trying again");
            sleep(backoff.pause().min(left)).await;
        };
        manager.proven = Mutex::new(Some(link));
        Ok((manager, server))
    }

    /// Opens a connection, and makes sure that the server keeps the limits it was given.
    async fn prove(&self, settings: &Settings) -> Result<(Link, Server)> {
        let tenure = Tenure::begin(&self.shared.tenures);
        let opened = self.connector.connect_patiently().await?;
        let driver = &opened.driver;
        let server = Server {
            version: version_number(driver.parameter("server_version").unwrap_or_default()),
            encoding: driver
                .parameter("server_encoding")
                .unwrap_or_default()
                .to_owned(),
            tls: opened.tls_version,
        };
        let link = self.link(opened, tenure);
        let limits_statements = settings.statement_timeout().is_some();
        if self.mode == PoolMode::Session && limits_statements && !link.took_options().await? {
            return Err(Error::OptionsIgnored);
        }
        Ok((link, server))
    }

    fn link(&self, opened: Opened, tenure: Tenure) -> Link {
        let Opened {
            client,
            driver,
            canceller,
            ..
        } = opened;
        let condition = Arc::new(Condition::new(Place::new(&self.shared.meter)));
        let hangup = self.shared.hangup.child_token();
        self.shared.sockets.spawn(drive(
            driver,
            Arc::clone(&condition),
            canceller.clone(),
            hangup.clone(),
            Arc::clone(&self.shared),
        ));
        Link::new(
            client,
            canceller,
            self.mode,
            self.network_timeout,
            condition,
            tenure,
            hangup,
        )
    }

    /// Opens a connection, however often it has to be tried: so a pool is filled
    /// again after an outage, though nobody asks.
    async fn persevere(&self) -> Link {
        let mut backoff = Backoff::default();
        loop {
            let tenure = Tenure::begin(&self.shared.tenures);
            match self.connector.connect().await {
                Ok(opened) => {
                    debug!(tls = opened.tls_version, "opened a connection");
                    self.shared.failure.send_replace(None);
                    return self.link(opened, tenure);
                }
                Err(error) => {
                    warn!(error = %Chain(&error), "failed to open a connection for the pool");
                    let pause = match error.is_transient() {
                        true => backoff.pause(),
                        false => HOPELESS_PAUSE,
                    };
                    self.shared.failure.send_replace(Some(Arc::new(error)));
                    sleep(pause).await;
                }
            }
        }
    }

    fn is_worn(&self, link: &Link) -> bool {
        self.max_lifetime.is_some_and(|limit| link.age() >= limit)
            || self.idle_timeout.is_some_and(|limit| link.rest() >= limit)
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
        let attempts = self.shared.sockets.track_future(self.persevere());
        let link = self.shared.closing.run_until_cancelled(attempts).await;
        link.ok_or_else(|| Arc::new(Error::Closed))
    }

    async fn is_valid(&self, link: &mut Link) -> Result<(), Arc<Error>> {
        if self.is_worn(link) {
            debug!("replacing a connection that is too old or was idle for too long");
        } else if link.check().await {
            return Ok(());
        } else {
            debug!("replacing a connection that doesn't answer, or is older than one that failed");
        }
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
