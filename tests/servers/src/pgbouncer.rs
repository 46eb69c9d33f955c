//! A pooler before a server.

use std::fmt::{Display, Write as _};
use std::fs;
use std::process::{Child, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::pooler::{Pooler, Release};
use crate::{Workspace, port};

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

/// How often a port may turn out to be taken after all.
const START_ATTEMPTS: u32 = 5;

/// A PgBouncer of a test's own, in transaction mode. It ends when this is dropped.
#[derive(Debug)]
pub struct PgBouncer {
    workspace: Workspace,
    pooler: Mutex<Pooler>,
    /// Further ones.
    settings: String,
    port: u16,
    process: Mutex<Option<Child>>,
}

impl PgBouncer {
    /// Starts one before the server that listens on a port of this machine.
    ///
    /// `settings` are those of its section `[pgbouncer]`. Its user, `postgres`, needs no password
    /// and may give it commands.
    ///
    /// # Errors
    ///
    /// If there is no PgBouncer, or it doesn't start.
    pub fn before(
        server_port: u16,
        release: Release,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut lines = String::new();
        for (name, value) in settings {
            let _ = writeln!(lines, "{name} = {value}");
        }
        let mut pooler = Self {
            workspace: Workspace::new()?,
            pooler: Mutex::new(Pooler::find(release)?),
            settings: lines,
            port: port::pick()?,
            process: Mutex::new(None),
        };
        pooler.workspace.write("users", "\"postgres\" \"\"\n")?;
        for _ in 1..START_ATTEMPTS {
            pooler.lead_to(server_port)?;
            if pooler.start_again().is_ok() {
                return Ok(pooler);
            }
            pooler.port = port::pick()?;
        }
        pooler.lead_to(server_port)?;
        pooler.start_again().map(|()| pooler)
    }

    /// Returns the URL that leads through it to the server.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Returns the URL at which it takes commands: `PAUSE`, `RESUME`, `RECONNECT` …
    pub fn console(&self) -> String {
        self.url_of("pgbouncer")
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns its folder: the list of users is `users`, the log `pgbouncer.log`.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Kills it: all connections through it break off.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again after it was killed, on its port, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it doesn't start, with the end of its log.
    pub fn start_again(&self) -> anyhow::Result<()> {
        self.kill();
        let mut command = self.workspace.command(&self.pooler().program);
        command.args(["--quiet", SETTINGS_FILE]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // What an earlier one has logged would count for this one.
        let _ = fs::remove_file(self.workspace.path().join(LOG));
        let process = command.spawn().map_err(|error| self.failed(&error))?;
        *self.process() = Some(process);
        self.wait_until_up()
    }

    /// Kills it, and starts one of another release in its place, before the server of a port.
    ///
    /// # Errors
    ///
    /// If there is none, or it doesn't start.
    pub fn replace(&self, release: Release, server_port: u16) -> anyhow::Result<()> {
        *self.pooler() = Pooler::find(release)?;
        self.lead_to(server_port)?;
        self.start_again()
    }

    /// Writes down that it leads to another server of this machine, for its next start or `RELOAD`.
    ///
    /// # Errors
    ///
    /// If that can't be written.
    pub fn lead_to(&self, server_port: u16) -> anyhow::Result<()> {
        let (port, settings) = (self.port, &self.settings);
        let own = self.pooler().settings;
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port}\n\
             [pgbouncer]{SETTINGS}listen_port = {port}\n{own}{settings}"
        );
        self.workspace.write(SETTINGS_FILE, settings).map(drop)
    }

    fn wait_until_up(&self) -> anyhow::Result<()> {
        let late = Instant::now() + PATIENCE;
        // In the whole log: clients that connect at once write many lines after this one.
        while !self.workspace.log(LOG).contains("process up") {
            if let Some(Ok(Some(status))) = self.process().as_mut().map(Child::try_wait) {
                return Err(self.failed(&status));
            }
            if Instant::now() > late {
                return Err(self.failed(&format!("it isn't up after {PATIENCE:?}")));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn url_of(&self, dbname: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{dbname}", self.port)
    }

    fn pooler(&self) -> MutexGuard<'_, Pooler> {
        self.pooler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn process(&self) -> MutexGuard<'_, Option<Child>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, why: &dyn Display) -> anyhow::Error {
        let end = self.workspace.end_of(LOG, 0);
        let program = self.pooler().program.clone();
        let program = program.display();
        anyhow::anyhow!("`{program}` failed: {why}\n{end}")
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        self.kill();
    }
}
