use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;

use super::workspace::{START_ATTEMPTS, free_port};
use super::{Programs, Workspace};
use crate::{Error, Result};

/// What a server is told beyond PostgreSQL's defaults, which are kept: `fsync` is on.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
";

/// A PostgreSQL of a program's own, made from the programs on this machine. It is stopped and
/// removed when this is dropped.
#[derive(Debug)]
pub struct PrivateServer {
    workspace: Workspace,
    programs: Programs,
    port: u16,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, and what was written is flushed.
    Fast,
    /// All its processes go at once, as in a crash; the next start recovers.
    Immediate,
}

impl PrivateServer {
    /// Makes an empty server, whose user is `postgres` without a password, and starts it.
    ///
    /// `settings` are those of `postgresql.conf`.
    ///
    /// # Errors
    ///
    /// [`Error::MissingProgram`] if there is no PostgreSQL; [`Error::Program`] with what it said.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is removed.
    pub async fn start(settings: &[(&str, &str)]) -> Result<Self> {
        let mut server = Self {
            workspace: Workspace::new()?,
            programs: Programs::find()?,
            port: free_port()?,
        };
        let initdb = server.programs.program("initdb");
        let arguments = [
            "--pgdata=data",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ];
        server.workspace.run(&initdb, arguments).await?;
        server.append_settings(SETTINGS)?;
        server.configure(settings)?;
        server.bring_up().await?;
        Ok(server)
    }

    /// Makes a standby that follows this server, and starts it. `settings` are those of its own.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// If dropped, the standby is removed.
    pub async fn standby(&self, settings: &[(&str, &str)]) -> Result<Self> {
        let mut standby = Self {
            workspace: Workspace::new()?,
            programs: self.programs.clone(),
            port: free_port()?,
        };
        standby.back_up(self).await?;
        standby.configure(settings)?;
        standby.bring_up().await?;
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

    /// Returns its folder: the data are in `data`, the log is `server.log`.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Makes this server, which is stopped, a standby of `primary`: with its data, on the old port.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] if the old data can't be removed, [`Error::Program`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, the server is without data, or with those of the primary.
    pub async fn follow(&self, primary: &Self) -> Result<()> {
        std::fs::remove_dir_all(self.workspace.path().join("data"))
            .map_err(|source| Error::Folder { source })?;
        self.back_up(primary).await?;
        self.start_again().await
    }

    /// Adds settings, which count from the next start or [`reload`](Self::reload) on.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] if they can't be written.
    pub fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let mut lines = String::new();
        for (name, value) in settings {
            let _ = writeln!(lines, "{name} = '{}'", value.replace('\'', "''"));
        }
        self.append_settings(&lines)
    }

    /// Reads the settings and `pg_hba.conf` again.
    ///
    /// # Errors
    ///
    /// [`Error::Program`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, they may or may not have been read.
    pub async fn reload(&self) -> Result<()> {
        self.control(&["reload"]).await
    }

    /// Stops the server, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Program`], also if it doesn't run.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it stops all the same.
    pub async fn stop(&self, stop: Stop) -> Result<()> {
        let mode = match stop {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.control(&["stop", "--wait", "--mode", mode]).await
    }

    /// Starts the stopped server again, on its port, and waits until it answers.
    ///
    /// # Errors
    ///
    /// [`Error::Program`], with the end of the server's log.
    ///
    /// # Cancel safety
    ///
    /// If dropped, it starts all the same.
    pub async fn start_again(&self) -> Result<()> {
        let port = format!("-p {}", self.port);
        let arguments = ["start", "--wait", "--log=server.log", "--options", &port];
        self.control(&arguments).await.map_err(|error| match error {
            Error::Program { program, said } => Error::Program {
                program,
                said: format!("{said}\n{}", self.workspace.end_of("server.log")),
            },
            other => other,
        })
    }

    /// Makes a standby the primary, and waits until it takes writes.
    ///
    /// # Errors
    ///
    /// [`Error::Program`].
    ///
    /// # Cancel safety
    ///
    /// If dropped, it is promoted all the same.
    pub async fn promote(&self) -> Result<()> {
        self.control(&["promote", "--wait"]).await
    }

    /// Starts it for the first time, on another port if somebody was faster.
    async fn bring_up(&mut self) -> Result<()> {
        let mut started = self.start_again().await;
        for _ in 1..START_ATTEMPTS {
            if started.is_ok() {
                break;
            }
            self.port = free_port()?;
            started = self.start_again().await;
        }
        started
    }

    /// Copies the data of a running server, to follow it from there.
    async fn back_up(&self, primary: &Self) -> Result<()> {
        let program = self.programs.program("pg_basebackup");
        let source = format!("--dbname={}", primary.url());
        let arguments = [
            "--pgdata=data",
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
            &source,
        ];
        self.workspace.run(&program, arguments).await
    }

    async fn control(&self, arguments: &[&str]) -> Result<()> {
        let pg_ctl = self.programs.program("pg_ctl");
        let arguments = arguments.iter().chain(&["--pgdata=data"]);
        self.workspace.run(&pg_ctl, arguments).await
    }

    fn append_settings(&self, lines: &str) -> Result<()> {
        let path = self.workspace.path().join("data/postgresql.conf");
        OpenOptions::new()
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .map_err(|source| Error::Folder { source })
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        let mut stop = self.workspace.command(self.programs.program("pg_ctl"));
        stop.args(["stop", "--wait", "--mode=immediate", "--pgdata=data"]);
        // It may have been stopped already.
        let _ = stop.output();
    }
}
