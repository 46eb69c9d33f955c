use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::Programs;
use crate::{Error, Result};

/// How a server's folder is called, before the id of the process that it belongs to.
const PREFIX: &str = "checkpointer-server-";

/// How often a port may turn out to be taken after all.
pub(super) const START_ATTEMPTS: u32 = 5;

/// A folder for one server, and who runs that. The folder goes when this is dropped.
///
/// PostgreSQL and PgBouncer refuse to run as root: for root they run as `postgres` or `nobody`, who
/// owns what is in the folder.
#[derive(Debug)]
pub struct Workspace {
    folder: TempDir,
    owner: Option<(u32, u32)>,
}

impl Workspace {
    /// Makes a folder, after removing the servers of programs that were killed.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`] if it can't be made; [`Error::NobodyToRunServers`] for root where there is
    /// no other user.
    pub fn new() -> Result<Self> {
        sweep();
        let folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-", std::process::id()))
            .tempdir()
            .map_err(|source| Error::Folder { source })?;
        let me = fs::metadata(folder.path()).map_err(|source| Error::Folder { source })?;
        let owner = match me.uid() {
            0 => Some(unprivileged().ok_or(Error::NobodyToRunServers)?),
            _ => None,
        };
        let workspace = Self { folder, owner };
        // Whoever runs the server must get through.
        fs::set_permissions(workspace.path(), Permissions::from_mode(0o755))
            .map_err(|source| Error::Folder { source })?;
        workspace.give_away(workspace.path())?;
        Ok(workspace)
    }

    /// Returns the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that only whoever runs the server may read, and returns its path.
    ///
    /// # Errors
    ///
    /// [`Error::Folder`].
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path().join(name);
        fs::write(&path, content)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o600)))
            .map_err(|source| Error::Folder { source })?;
        self.give_away(&path)?;
        Ok(path)
    }

    /// Prepares a command that runs in the folder as whoever runs the server.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).stdin(Stdio::null());
        // What is meant for libpq would reach the programs too.
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(|name| name.starts_with("PG")) {
                command.env_remove(name);
            }
        }
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Runs a program to its end.
    ///
    /// # Errors
    ///
    /// [`Error::Program`] if it can't be run or fails, with what it said.
    ///
    /// # Cancel safety
    ///
    /// If dropped, the program goes on.
    pub async fn run<I>(&self, program: &Path, arguments: I) -> Result<()>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = self.command(program);
        command.args(arguments);
        let output = tokio::process::Command::from(command).output().await;
        let said = match output {
            Ok(Output { status, .. }) if status.success() => return Ok(()),
            Ok(output) => [output.stdout, output.stderr].concat(),
            Err(error) => error.to_string().into_bytes(),
        };
        Err(Error::Program {
            program: program.display().to_string(),
            said: String::from_utf8_lossy(&said).trim_end().to_owned(),
        })
    }

    /// The last lines of a log in the folder.
    pub(super) fn end_of(&self, log: &str) -> String {
        let log = fs::read_to_string(self.path().join(log)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(8)..].join("\n")
    }

    fn give_away(&self, path: &Path) -> Result<()> {
        match self.owner {
            Some((uid, gid)) => {
                chown(path, Some(uid), Some(gid)).map_err(|source| Error::Folder { source })
            }
            None => Ok(()),
        }
    }
}

/// A port that nobody listens on at the moment.
pub(super) fn free_port() -> Result<u16> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|source| Error::NoPort { source })
}

/// The ids of a user and its group that may run servers.
fn unprivileged() -> Option<(u32, u32)> {
    let id = |flag: &str, user: &str| -> Option<u32> {
        let output = Command::new("id").args([flag, user]).output().ok()?;
        String::from_utf8(output.stdout).ok()?.trim().parse().ok()
    };
    ["postgres", "nobody"]
        .iter()
        .find_map(|user| Some((id("-u", user)?, id("-g", user)?)))
}

/// Stops and removes what programs have left that are no more: killed, they couldn't themselves.
fn sweep() {
    let processes = Path::new("/proc");
    let Ok(entries) = std::env::temp_dir().read_dir() else {
        return;
    };
    if !processes.join("self").exists() {
        return;
    }
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|name| name.split('-').next());
        if owner.is_some_and(|owner| !processes.join(owner).exists()) {
            let folder = entry.path();
            if let (Ok(programs), Ok(data)) = (Programs::find(), fs::metadata(folder.join("data")))
            {
                let mut stop = Command::new(programs.program("pg_ctl"));
                stop.args(["stop", "--mode", "immediate", "--pgdata"]);
                stop.arg(folder.join("data")).stdin(Stdio::null());
                // Another program may be at it.
                let _ = stop.uid(data.uid()).gid(data.gid()).output();
            }
            kill_pooler(&folder);
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Kills the pooler whose folder it is, unless its number belongs to somebody else by now.
fn kill_pooler(folder: &Path) {
    let Ok(pid) = fs::read_to_string(folder.join("pgbouncer.pid")) else {
        return;
    };
    let pid = pid.trim();
    let works_in = fs::read_link(format!("/proc/{pid}/cwd"));
    if works_in.is_ok_and(|works_in| works_in == folder) {
        // The shell's own `kill`: a small system has no other.
        let mut kill = Command::new("/bin/sh");
        let _ = kill.args(["-c", "kill -9 $0", pid]).output();
    }
}
