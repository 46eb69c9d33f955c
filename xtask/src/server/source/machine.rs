//! PostgreSQL on this machine.

use servers::Programs;

use crate::server::Machine;

/// Those on the PATH, or the newest that is installed.
pub(super) fn programs(machine: &Machine<'_>, major: Option<u32>) -> Option<Programs> {
    machine.places.postgresql(major)
}
