//! What the pool does with its connections: opens, checks and discards them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bb8::ManageConnection;
use settings::{PoolMode, Settings};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::condition::Condition;
use crate::connect::{Connector, Opened};
use crate::driver::drive;
use crate::error::Chain;
use crate::link::Link;
use crate::meter::Place;
use crate::shared::Shared;
use crate::tenure::Tenure;
use crate::{Error, Result};

/// How long to wait before another attempt where trying again won't help: until
/// somebody has mended what is wrong.
const HOPELESS_PAUSE: Duration = Duration::from_secs(5);

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
        if self.shared.mode == PoolMode::Session
            && limits_statements
            && !link.took_options().await?
        {
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
        let drive = drive(
            driver,
            Arc::clone(&condition),
            canceller.clone(),
            hangup.clone(),
            Arc::clone(&self.shared),
        );
        let runtime = self.shared.runtime.handle();
        self.shared.sockets.spawn_on(drive, runtime);
        let shared = Arc::clone(&self.shared);
        Link::new(client, canceller, shared, condition, tenure, hangup)
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
