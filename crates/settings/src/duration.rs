//! Durations as texts: a whole number with its unit, such as `5s`.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Units from the largest, each with its length in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads a whole number with its unit, such as `5s`.
pub(crate) fn parse(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let (_, length) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let millis = number.parse::<u64>().ok()?.checked_mul(*length)?;
    Some(Duration::from_millis(millis))
}

/// Writes whole milliseconds in the largest unit that needs no fraction.
pub(crate) fn written(duration: Duration) -> String {
    let millis = duration.as_millis();
    UNITS
        .iter()
        .map(|(unit, length)| (unit, u128::from(*length)))
        .find(|(_, length)| millis >= *length && millis.is_multiple_of(*length))
        .map_or_else(
            || "0".to_owned(),
            |(unit, length)| format!("{}{unit}", millis / length),
        )
}

/// Writes a range as the documentation does.
pub(crate) fn range(range: &RangeInclusive<Duration>) -> String {
    format!(
        "`{}` to `{}`",
        written(*range.start()),
        written(*range.end())
    )
}
