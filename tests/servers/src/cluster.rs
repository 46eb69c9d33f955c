//! A PostgreSQL of its own: a folder with data, and the programs that run it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::{PidFile, Programs, Workspace, port};

/// How often a port may turn out to be taken after all.
const START_ATTEMPTS: u32 = 5;

/// For programs of this machine only, and by TCP only, since a socket's path has a limit that a
/// folder's can break.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
";

/// A server with its data.
#[derive(Debug)]
pub struct Cluster {
    workspace: Workspace,
    programs: Programs,
    /// Its path in the folder.
    log: &'static str,
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, and what was written is flushed.
    Fast,
    /// All its processes go at once, as in a crash; the next start recovers.
    Immediate,
}

impl Cluster {
    /// Names the server in a folder, whose data are in `data`. It writes its log to `log`, where
    /// its user must be allowed to.
    pub fn new(workspace: Workspace, programs: Programs, log: &'static str) -> Self {
        Self {
            workspace,
            programs,
            log,
        }
    }

    /// Returns its folder.
    pub fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Returns the programs that run it.
    pub fn programs(&self) -> &Programs {
        &self.programs
    }

    /// Returns the path of its log.
    pub fn log(&self) -> PathBuf {
        self.workspace.path().join(self.log)
    }

    /// Makes the data, with further options of `initdb` and lines for `postgresql.conf`. The
    /// superuser is `postgres`.
    ///
    /// # Errors
    ///
    /// If that fails, with what `initdb` said.
    pub fn make(&self, options: &[&str], settings: &str) -> anyhow::Result<()> {
        let usual = [
            "--pgdata=data",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
        ];
        let initdb = self.programs.program("initdb");
        (self.workspace).run(&initdb, usual.iter().chain(options))?;
        self.configure(SETTINGS)?;
        self.configure(settings)
    }

    /// Adds lines to `postgresql.conf`: of equal settings the last one counts.
    ///
    /// # Errors
    ///
    /// If the file can't be written.
    pub fn configure(&self, lines: &str) -> anyhow::Result<()> {
        let path = self.workspace.path().join("data/postgresql.conf");
        (OpenOptions::new().append(true).open(&path))
            .and_then(|mut file| file.write_all(lines.as_bytes()))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Copies the data of the running server at `url`, to follow it from there.
    ///
    /// # Errors
    ///
    /// If that fails, with what `pg_basebackup` said.
    pub fn copy(&self, url: &str) -> anyhow::Result<()> {
        let program = self.programs.program("pg_basebackup");
        let source = format!("--dbname={url}");
        let arguments = [
            "--pgdata=data",
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
            &source,
        ];
        self.workspace.run(&program, arguments)
    }

    /// Whether the server runs.
    pub fn is_running(&self) -> bool {
        self.pid_file().server().is_some() && self.control(&["status"]).is_ok()
    }

    /// Starts the stopped server on a port, and waits until it answers.
    ///
    /// # Errors
    ///
    /// If it doesn't start, with the end of its log.
    pub fn start(&self, port: u16) -> anyhow::Result<()> {
        let removed = self.pid_file().remove_misleading();
        removed.context("remove a dead server's pid file")?;
        let port = format!("-p {port}");
        let before = self.workspace.log(self.log).len();
        let started = self.control(&["start", "--wait", "--log", self.log, "--options", &port]);
        started.map_err(|error| {
            let end = self.workspace.end_of(self.log, before);
            let end = match &*end {
                "" => String::new(),
                end => format!("\nthe end of {}:\n{end}", self.log().display()),
            };
            anyhow!("the server doesn't start: {error:#}{end}")
        })
    }

    /// Starts the stopped server on `port`, or on another one if that isn't free, and returns the
    /// port.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_near(&self, mut port: u16) -> anyhow::Result<u16> {
        let mut attempts = 0;
        loop {
            if !port::is_free(port) {
                port = port::pick()?;
            }
            attempts += 1;
            match self.start(port) {
                Ok(()) => return Ok(port),
                Err(error) if attempts == START_ATTEMPTS => return Err(error),
                // The processes of a killed server may take a moment to go.
                Err(_) => thread::sleep(Duration::from_secs(1)),
            }
        }
    }

    /// Stops the server, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// Also if it doesn't run.
    pub fn stop(&self, stop: Stop) -> anyhow::Result<()> {
        let mode = match stop {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.control(&["stop", "--wait", "--mode", mode])
    }

    /// Lets the server read its settings and `pg_hba.conf` again.
    ///
    /// # Errors
    ///
    /// If it doesn't run.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.control(&["reload"])
    }

    /// Makes a standby the primary, and waits until it takes writes.
    ///
    /// # Errors
    ///
    /// If it is no standby, or doesn't run.
    pub fn promote(&self) -> anyhow::Result<()> {
        self.control(&["promote", "--wait"])
    }

    fn pid_file(&self) -> PidFile {
        PidFile::of(self.workspace.path())
    }

    fn control(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let pg_ctl = self.programs.program("pg_ctl");
        let arguments = arguments.iter().chain(&["--pgdata=data"]);
        self.workspace.run(&pg_ctl, arguments)
    }
}
