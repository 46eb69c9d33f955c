//! A PostgreSQL that may be stopped and broken.

use std::fmt::Write as _;
use std::fs;

use anyhow::Context as _;

use crate::{Cluster, Programs, Stop, Workspace, port};

pub(crate) const LOG: &str = "server.log";

/// A PostgreSQL of a test's own. It is stopped and removed when this is dropped.
#[derive(Debug)]
pub struct PrivateServer {
    cluster: Cluster,
    port: u16,
}

impl PrivateServer {
    /// Makes an empty server, whose user is `postgres` without a password, and starts it.
    ///
    /// `settings` are those of `postgresql.conf`; what isn't named has PostgreSQL's default:
    /// `fsync` is on.
    ///
    /// # Errors
    ///
    /// If there is no PostgreSQL, or it doesn't start.
    pub fn start(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::run(Programs::find()?, settings)
    }

    /// The same with the programs of another version.
    ///
    /// # Errors
    ///
    /// If it doesn't start.
    pub fn run(programs: Programs, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut server = Self {
            cluster: Cluster::new(Workspace::new()?, programs, LOG),
            port: port::pick()?,
        };
        (server.cluster).make(&["--auth=trust", "--no-sync"], &lines(settings))?;
        server.port = server.cluster.start_near(server.port)?;
        Ok(server)
    }

    /// Makes a standby that follows this server, and starts it. `settings` are those of its own.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn standby(&self, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut standby = Self {
            cluster: Cluster::new(Workspace::new()?, self.cluster.programs().clone(), LOG),
            port: port::pick()?,
        };
        standby.cluster.copy(&self.url())?;
        standby.configure(settings)?;
        standby.port = standby.cluster.start_near(standby.port)?;
        Ok(standby)
    }

    /// Returns the URL for its superuser.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the server with its data, which can be stopped, reloaded and promoted.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Makes this server, which is stopped, a standby of `primary`: with its data, on the old port.
    ///
    /// # Errors
    ///
    /// If the old data can't be removed, the new ones not copied, or the server doesn't start.
    pub fn follow(&self, primary: &str) -> anyhow::Result<()> {
        let data = self.cluster.workspace().path().join("data");
        fs::remove_dir_all(data).context("remove the old data")?;
        self.cluster.copy(primary)?;
        self.start_again()
    }

    /// Adds settings, which count from the next start or reload on.
    ///
    /// # Errors
    ///
    /// If they can't be written.
    pub fn configure(&self, settings: &[(&str, &str)]) -> anyhow::Result<()> {
        self.cluster.configure(&lines(settings))
    }

    /// Starts the stopped server again, on its port, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it doesn't start, with the end of its log.
    pub fn start_again(&self) -> anyhow::Result<()> {
        self.cluster.start(self.port)
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.cluster.stop(Stop::Immediate);
    }
}

/// Settings as lines of `postgresql.conf`.
fn lines(settings: &[(&str, &str)]) -> String {
    let mut lines = String::new();
    for (name, value) in settings {
        let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
    }
    lines
}
