//! Times, as people write and read them.

use std::time::{Duration, SystemTime};

use anyhow::{Context, bail};

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];

/// Reads a time: how long ago (`90min`, `3days`), a day (`2026-11-28`), or a time in RFC 3339. Days
/// and times without a zone are in UTC.
pub(crate) fn parse(text: &str) -> anyhow::Result<SystemTime> {
    if let Ok(age) = humantime::parse_duration(text) {
        let at = SystemTime::now().checked_sub(age);
        return at.context("that is before all time");
    }
    for text in [text, &format!("{text}T00:00:00Z")] {
        if let Ok(at) = humantime::parse_rfc3339_weak(text) {
            return Ok(at);
        }
    }
    bail!(
        "it must be an age, such as `90min` or `3days`, a day, such as `2026-11-28`, or a time in RFC 3339"
    )
}

/// A time to the second, and how long ago it is.
pub(crate) fn shown(at: SystemTime) -> String {
    let time = inspector::json::time(at);
    let time = time.split('.').next().unwrap_or_default().replace('T', " ");
    match SystemTime::now().duration_since(at) {
        Ok(age) => format!("{time}Z, {} ago", age_of(age)),
        Err(_) => format!("{time}Z"),
    }
}

/// An age in its largest unit.
fn age_of(age: Duration) -> String {
    let seconds = age.as_secs();
    let unit = UNITS.iter().find(|(_, unit)| seconds >= *unit);
    let (name, unit) = unit.unwrap_or(&("s", 1));
    format!("{}{name}", seconds / unit)
}
