//! Mounts of a process's own.

use crate::is_root;

/// The options by which the program `unshare` gives a command mounts of its own. Linux grants them to root,
/// and mostly to others within a namespace in which they are root; a container may be refused them.
pub fn unshare_options() -> &'static [&'static str] {
    match is_root() {
        true => &["--mount"],
        false => &["--map-root-user", "--mount"],
    }
}
