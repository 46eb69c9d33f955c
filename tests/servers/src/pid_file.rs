//! The file that names a server's process, and what that process is by now.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file of a server, which is there from its start to its orderly end.
#[derive(Debug)]
pub struct PidFile {
    data: PathBuf,
}

/// What has the number that the file names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// The server, as far as can be told.
    Server,
    /// Nothing: the server was killed, or the machine.
    Gone,
    /// The server, which was killed and whose exit status wasn't asked for, or another program. To
    /// PostgreSQL both look like a running server, and it wouldn't start.
    Other,
}

impl PidFile {
    /// Names that of the server whose data are in the folder's `data`.
    pub fn of(folder: &Path) -> Self {
        Self {
            data: folder.join("data"),
        }
    }

    /// Returns its path.
    pub fn path(&self) -> PathBuf {
        self.data.join("postmaster.pid")
    }

    /// Returns the number of the server's process, unless that isn't there any more.
    pub fn server(&self) -> Option<u32> {
        self.pid()
            .filter(|pid| self.process(*pid) == Process::Server)
    }

    /// Removes the file where it would keep the server from starting, though none runs.
    pub(crate) fn remove_misleading(&self) -> io::Result<()> {
        let process = self.pid().map(|pid| self.process(pid));
        match process {
            Some(Process::Other) => fs::remove_file(self.path()),
            _ => Ok(()),
        }
    }

    fn pid(&self) -> Option<u32> {
        let content = fs::read_to_string(self.path()).ok()?;
        content.lines().next()?.trim().parse().ok()
    }

    fn process(&self, pid: u32) -> Process {
        let processes = Path::new("/proc");
        if !processes.join("self").exists() {
            return Process::Server;
        }
        let process = processes.join(pid.to_string());
        let Ok(stat) = fs::read_to_string(process.join("stat")) else {
            return Process::Gone;
        };
        if is_dead_or_other(&stat) || self.is_elsewhere(&process) {
            return Process::Other;
        }
        Process::Server
    }

    /// Whether a process is a server with other data: a server works in the folder of its data.
    fn is_elsewhere(&self, process: &Path) -> bool {
        let (Ok(folder), Ok(data)) = (process.join("cwd").read_link(), self.data.canonicalize())
        else {
            return false;
        };
        folder != data
    }
}

/// Reads `pid (name) state …`, where a name may hold anything. In a container whose first process
/// isn't an init, a process that was killed can stay a zombie for ever.
fn is_dead_or_other(stat: &str) -> bool {
    let Some((before, after)) = stat.rsplit_once(") ") else {
        return false;
    };
    let name = before.split_once(" (").map_or("", |(_, name)| name);
    after.starts_with('Z') || !name.contains("postgres")
}
