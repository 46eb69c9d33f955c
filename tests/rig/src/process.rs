//! What processes on this machine take, as Linux's `/proc` has it.

use std::fs;

/// Linux reports times in ticks of 10 ms to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU seconds of a process so far, if the system says them.
pub fn cpu_seconds(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; `utime` is the 12th field behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
}

/// The most memory that a process had so far, or since [`forget_peak`], if the system says it.
pub fn peak_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

/// Begins the peak of a process anew, where that is allowed.
pub fn forget_peak(pid: u32) {
    // What `proc(5)` says for this.
    let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
}
