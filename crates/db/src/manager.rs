//! What the pool does with its connections: opens, checks and discards them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bb8::ManageConnection;
use settings::Settings;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::connect::{Connector, Opened, Server, backoff};
use crate::driver::drive;
use crate::error::Chain;
use crate::link::Link;
use crate::shared::Shared;
use crate::tenure::Tenure;
use crate::watch::Watch;
use crate::{Error, Result};

/// How long to wait before another attempt where trying again won't help until what is wrong was
/// put right.
const HOPELESS_PAUSE: Duration = Duration::from_secs(5);

/// Opens, checks and discards connections on the pool's behalf.
#[derive(Debug)]
pub(crate) struct Manager {
    connector: Connector,
    idle_timeout: Option<Duration>,
    max_lifetime: Option<Duration>,
    shared: Arc<Shared>,
    /// The connection that proved that the server answers, until the pool asks for its first one.
    proven: Mutex<Option<Link>>,
}

impl Manager {
    /// Proves that the server answers.
    pub(crate) async fn new(settings: &Settings, shared: Arc<Shared>) -> Result<(Self, Server)> {
        let manager = Self {
            connector: Connector::new(settings, Arc::clone(&shared.meter)),
            idle_timeout: settings.idle_timeout(),
            max_lifetime: settings.max_lifetime(),
            shared,
            proven: Mutex::new(None),
        };
        let tenure = Tenure::begin(&manager.shared.tenures);
        let opened = manager.connector.connect_patiently().await?;
        let (link, server) = manager.link(opened, tenure);
        *manager.lock_proven() = Some(link);
        Ok((manager, server))
    }

    fn link(&self, opened: Opened, tenure: Tenure) -> (Link, Server) {
        let preparation = opened.server.preparation;
        let watch = Watch::new(&self.shared, tenure, opened.canceller, preparation);
        let watch = Arc::new(watch);
        let drive = drive(opened.driver, Arc::clone(&watch));
        let runtime = self.shared.runtime.handle();
        self.shared.sockets.spawn_on(drive, runtime);
        (Link::new(opened.client, watch), opened.server)
    }

    /// Opens a connection, however often it has to be tried: so a pool is filled again after an
    /// outage, also if no connection is asked for.
    async fn persevere(&self) -> Link {
        let mut backoff = backoff();
        loop {
            let tenure = Tenure::begin(&self.shared.tenures);
            match self.connector.connect().await {
                Ok(opened) => {
                    let (link, server) = self.link(opened, tenure);
                    debug!(
                        tls = server.tls,
                        statements = server.preparation.label(),
                        "opened a connection"
                    );
                    self.shared.failure.send_replace(None);
                    return link;
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

    fn lock_proven(&self) -> MutexGuard<'_, Option<Link>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ManageConnection for Manager {
    type Connection = Link;
    type Error = Arc<Error>;

    async fn connect(&self) -> Result<Link, Arc<Error>> {
        if let Some(link) = self.lock_proven().take().filter(|link| !link.is_closed()) {
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
        !link.is_fit_to_return()
    }
}
