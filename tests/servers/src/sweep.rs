//! Removes what programs have left behind that were killed and couldn't do it themselves.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::private::LOG;
use crate::{Cluster, Packages, Places, Programs, Stop, Workspace};

/// How a temporary folder is called, before the id of the process that it belongs to.
pub(crate) const PREFIX: &str = "checkpointer-server-";

/// Stops the servers of processes that are no more, and removes their folders.
pub(crate) fn sweep() {
    let processes = Path::new("/proc");
    let Ok(entries) = env::temp_dir().read_dir() else {
        return;
    };
    if !processes.join("self").exists() {
        return;
    }
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = (name.to_str())
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|name| name.split('-').next());
        if owner.is_some_and(|owner| !processes.join(owner).exists()) {
            remove(&entry.path());
        }
    }
}

/// Another program may be at it, too.
fn remove(folder: &Path) {
    if let Some(programs) = Places::of_this_machine().postgresql(None).or_else(packaged) {
        let workspace = Workspace::open(folder.to_owned());
        let _ = Cluster::new(workspace, programs, LOG).stop(Stop::Immediate);
    }
    kill_pooler(folder);
    let _ = fs::remove_dir_all(folder);
}

/// A server that ran from a package is stopped with that.
fn packaged() -> Option<Programs> {
    Packages::of_this_machine().ok()?.unpacked(None)
}

/// Kills the pooler whose folder it is, unless its number belongs to another program by now.
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
