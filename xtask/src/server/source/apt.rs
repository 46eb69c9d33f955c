//! The package of Debian or Ubuntu.

use anyhow::Context as _;
use servers::Programs;

use crate::server::{Machine, POSTGRESQL};

/// Installs it, unless the person refuses that. There is one version of it.
pub(super) fn programs(
    machine: &Machine<'_>,
    major: Option<u32>,
) -> anyhow::Result<Option<Programs>> {
    let (Some(apt), None) = (&machine.apt, major) else {
        return Ok(None);
    };
    if !machine.may_install(&[POSTGRESQL])? {
        return Ok(None);
    }
    apt.install(machine.sh, &[POSTGRESQL])?;
    let programs = machine.places.postgresql(None);
    (programs.context("the package brought no PostgreSQL 14 or newer")).map(Some)
}
