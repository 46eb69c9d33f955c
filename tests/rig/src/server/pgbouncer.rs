use std::fmt::{Display, Write as _};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::NoTls;

use super::workspace::{START_ATTEMPTS, free_port};
use super::{Programs, Workspace};
use crate::{Error, Result};

/// What it is told beyond its defaults. It tries a server again sooner than after 15 seconds.
const SETTINGS: &str = "
pool_mode = transaction
listen_addr = 127.0.0.1
unix_socket_dir =
auth_type = trust
auth_file = users
admin_users = postgres
logfile = pgbouncer.log
pidfile = pgbouncer.pid
server_login_retry = 1
";

const SETTINGS_FILE: &str = "pgbouncer.ini";
const LOG: &str = "pgbouncer.log";

/// How long it may take until it answers, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A PgBouncer of a program's own, in transaction mode. It ends when this is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    workspace: Workspace,
    program: PathBuf,
    server_port: u16,
    /// Further ones.
    settings: String,
    port: u16,
    process: Option<Child>,
}

impl PgBouncer {
    /// Starts one before the server that listens on a port of this machine.
    ///
    /// `settings` are those of its section `[pgbouncer]`. Its user, `postgres`, needs no password
    /// and may give it [commands](Self::command).
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] if there is no PgBouncer; [`Error::Program`] with what it said.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it ends.
    pub async fn before(server_port: u16, settings: &[(&str, &str)]) -> Result<Self> {
        let workspace = Workspace::new()?;
        workspace.write("users", "\"postgres\" \"\"\n")?;
        let mut lines = String::new();
        for (name, value) in settings {
            let _ = writeln!(lines, "{name} = {value}");
        }
        let mut pooler = Self {
            workspace,
            program: Programs::other("pgbouncer", "pgbouncer")?,
            server_port,
            settings: lines,
            port: free_port()?,
            process: None,
        };
        let mut started = pooler.start_again().await;
        for _ in 1..START_ATTEMPTS {
            if started.is_ok() {
                break;
            }
            pooler.port = free_port()?;
            started = pooler.start_again().await;
        }
        started.map(|()| pooler)
    }

    /// Returns the URL that leads through it to the server.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its folder: the list of users is `users`, the log `pgbouncer.log`.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Gives it a command: `PAUSE`, `RESUME`, `RECONNECT` …
    ///
    /// # Errors
    ///
    /// [`Error::Console`] if it doesn't answer or refuses.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it may or may not be carried out.
    pub async fn command(&self, command: &str) -> Result<()> {
        let told = async {
            let (client, driver) =
                tokio_postgres::connect(&self.url_of("pgbouncer"), NoTls).await?;
            let driver = tokio::spawn(driver);
            // The console knows no other protocol.
            let answer = client.simple_query(command).await;
            drop(client);
            let _ = driver.await;
            answer
        };
        match told.await {
            Ok(_) => Ok(()),
            Err(source) => Err(Error::Console { source }),
        }
    }

    /// Kills it: all connections through it break off.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again after it was killed, on its port, and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Program`], with the end of its log.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it may or may not run.
    pub async fn start_again(&mut self) -> Result<()> {
        self.kill();
        self.write_settings()?;
        let mut command = self.workspace.command(&self.program);
        command.args(["--quiet", SETTINGS_FILE]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // What an earlier one has logged would count for this one.
        let _ = std::fs::remove_file(self.workspace.path().join(LOG));
        let process = command.spawn().map_err(|error| self.failed(&error))?;
        self.process = Some(process);
        let up = timeout(PATIENCE, self.wait_until_up()).await;
        up.unwrap_or_else(|late| Err(self.failed(&late)))
    }

    /// Leads to another server of this machine, as somebody sees to after a failover.
    ///
    /// # Errors
    ///
    /// [`Error::Console`] if it doesn't answer or refuses.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it leads to the one or to the other.
    pub async fn lead_to(&mut self, server_port: u16) -> Result<()> {
        self.server_port = server_port;
        self.write_settings()?;
        self.command("RELOAD").await
    }

    fn write_settings(&self) -> Result<()> {
        let Self {
            server_port,
            settings,
            port,
            ..
        } = self;
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n\
             [pgbouncer]{SETTINGS}listen_port = {port}\n{settings}"
        );
        self.workspace.write(SETTINGS_FILE, settings)?;
        Ok(())
    }

    async fn wait_until_up(&mut self) -> Result<()> {
        while !self.workspace.end_of(LOG).contains("process up") {
            let process = self.process.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = process {
                return Err(self.failed(&status));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn url_of(&self, dbname: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{dbname}", self.port)
    }

    fn failed(&self, why: &dyn Display) -> Error {
        Error::Program {
            program: self.program.display().to_string(),
            said: format!("{why}\n{}", self.workspace.end_of(LOG)),
        }
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.kill();
    }
}
