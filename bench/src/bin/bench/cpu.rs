//! CPU time, as Linux's `/proc` has it.

use std::fs;

/// Linux reports times in ticks of 10 ms to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU seconds of a process, if the system says them.
pub(crate) fn process(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; `utime` is the 12th field behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// The CPU seconds of the server process behind a connection from `port`.
///
/// A number of a process on another machine, or in another container, may be that of some other
/// process here: the title that PostgreSQL gives its processes tells.
pub(crate) fn backend(pid: i32, port: i32) -> Option<f64> {
    let title = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let is_it = title.starts_with("postgres") && title.contains(&format!("({port})"));
    is_it.then(|| process(pid.try_into().ok()?))?
}
