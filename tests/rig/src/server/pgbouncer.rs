//! A pooler of a test's own.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use servers::{Release, Workspace};
use tokio_postgres::NoTls;

use super::{blocking, postgres};

/// A PgBouncer in transaction mode, before a server. It ends when this is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    pooler: Arc<servers::PgBouncer>,
}

impl PgBouncer {
    /// Starts one before the server that listens on a port of this machine.
    ///
    /// `settings` are those of its section `[pgbouncer]`. Its user, `postgres`, needs no password
    /// and may give it [commands](Self::command).
    pub async fn before(
        server_port: u16,
        release: Release,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let settings = postgres::owned(settings);
        let started = blocking(move || {
            servers::PgBouncer::before(server_port, release, &postgres::borrowed(&settings))
        });
        Ok(Self {
            pooler: Arc::new(started.await?),
        })
    }

    /// The URL that leads through it to the server.
    pub fn url(&self) -> String {
        self.pooler.url()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.pooler.port()
    }

    /// Its folder: the list of users is `users`, the log `pgbouncer.log`.
    pub fn workspace(&self) -> &Workspace {
        self.pooler.workspace()
    }

    /// Gives it a command: `PAUSE`, `RESUME`, `RECONNECT` …
    pub async fn command(&self, command: &str) -> Result<()> {
        let console = self.pooler.console();
        let told = async {
            let (client, driver) = tokio_postgres::connect(&console, NoTls).await?;
            let driver = tokio::spawn(driver);
            // The console knows no other protocol.
            let answer = client.simple_query(command).await;
            drop(client);
            let _ = driver.await;
            answer
        };
        let answer = told.await;
        (answer.map(drop)).with_context(|| format!("tell the pooler `{command}`"))
    }

    /// Kills it: all connections through it break off.
    pub fn kill(&self) {
        self.pooler.kill();
    }

    /// Starts it again after it was killed, on its port, and waits until it answers.
    pub async fn start_again(&self) -> Result<()> {
        let pooler = Arc::clone(&self.pooler);
        blocking(move || pooler.start_again()).await
    }

    /// Kills it, and starts one of another release in its place, before the server of a port.
    pub async fn replace(&self, release: Release, server_port: u16) -> Result<()> {
        let pooler = Arc::clone(&self.pooler);
        blocking(move || pooler.replace(release, server_port)).await
    }

    /// Leads to another server of this machine, as an operator sees to after a failover.
    pub async fn lead_to(&self, server_port: u16) -> Result<()> {
        self.pooler.lead_to(server_port)?;
        self.command("RELOAD").await
    }
}
