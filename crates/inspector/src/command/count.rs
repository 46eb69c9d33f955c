//! Numbers of things, for people.

/// So many of something, of which `one` names a single one.
pub(crate) fn shown(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}
