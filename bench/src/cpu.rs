//! The CPU time of a server's processes.

use std::fs;

use rig::cpu_seconds;

/// The CPU seconds of the server process behind a connection from `port`.
///
/// A number of a process on another machine, or in another container, may be that of some other
/// process here: the title that PostgreSQL gives its processes tells.
pub(crate) fn backend(pid: i32, port: i32) -> Option<f64> {
    let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let is_it = title.starts_with("postgres") && title.contains(&format!("({port})"));
    is_it.then(|| cpu_seconds(pid.try_into().ok()?))?
}
