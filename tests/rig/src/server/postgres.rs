//! A PostgreSQL of a test's own.

use std::sync::Arc;

use anyhow::Result;
use servers::{Programs, Stop, Workspace};

use super::blocking;

/// A PostgreSQL that may be stopped and broken, made from the programs on this machine. It is
/// stopped and removed when this is dropped.
#[derive(Debug)]
pub struct PrivateServer {
    server: Arc<servers::PrivateServer>,
}

impl PrivateServer {
    /// Makes an empty server, whose user is `postgres` without a password, and starts it.
    ///
    /// `settings` are those of `postgresql.conf`; what isn't named has PostgreSQL's default:
    /// `fsync` is on.
    pub async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let settings = owned(settings);
        let started = blocking(move || servers::PrivateServer::start(&borrowed(&settings)));
        Ok(Self {
            server: Arc::new(started.await?),
        })
    }

    /// The same with the programs of another version.
    pub async fn run(programs: Programs, settings: &[(&str, &str)]) -> Result<Self> {
        let settings = owned(settings);
        let started = blocking(move || servers::PrivateServer::run(programs, &borrowed(&settings)));
        Ok(Self {
            server: Arc::new(started.await?),
        })
    }

    /// Makes a standby that follows this server, and starts it. `settings` are those of its own.
    pub async fn standby(&self, settings: &[(&str, &str)]) -> Result<Self> {
        let settings = owned(settings);
        let started = self.with(move |server| server.standby(&borrowed(&settings)));
        Ok(Self {
            server: Arc::new(started.await?),
        })
    }

    /// The URL for its superuser.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Its folder: the data are in `data`, the log is `server.log`.
    pub fn workspace(&self) -> &Workspace {
        self.server.cluster().workspace()
    }

    /// Makes this server, which is stopped, a standby of `primary`: with its data, on the old port.
    pub async fn follow(&self, primary: &Self) -> Result<()> {
        let primary = primary.url();
        self.with(move |server| server.follow(&primary)).await
    }

    /// Adds settings, which count from the next start or [`reload`](Self::reload) on.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.server.configure(settings)
    }

    /// Reads the settings and `pg_hba.conf` again.
    pub async fn reload(&self) -> Result<()> {
        self.with(|server| server.cluster().reload()).await
    }

    /// Stops the server, and waits until it is gone.
    pub async fn stop(&self, stop: Stop) -> Result<()> {
        self.with(move |server| server.cluster().stop(stop)).await
    }

    /// Starts the stopped server again, on its port, and waits until it answers.
    pub async fn start_again(&self) -> Result<()> {
        self.with(servers::PrivateServer::start_again).await
    }

    /// Makes a standby the primary, and waits until it takes writes.
    pub async fn promote(&self) -> Result<()> {
        self.with(|server| server.cluster().promote()).await
    }

    /// Works with the server. If the future is dropped, the work goes on.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&servers::PrivateServer) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let server = Arc::clone(&self.server);
        blocking(move || work(&server)).await
    }
}

pub(super) fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = settings.iter();
    (settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).collect()
}

pub(super) fn borrowed(settings: &[(String, String)]) -> Vec<(&str, &str)> {
    let settings = settings.iter();
    (settings.map(|(name, value)| (name.as_str(), value.as_str()))).collect()
}
