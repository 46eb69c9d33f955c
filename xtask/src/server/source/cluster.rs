//! A private cluster that exists.

use anyhow::Context as _;

use super::run;
use crate::server::cluster::Cluster;
use crate::server::{Machine, Server};

/// Runs it with programs of the version that made it, wherever they come from.
pub(super) fn server(machine: &Machine<'_>, major: Option<u32>) -> anyhow::Result<Option<Server>> {
    let cluster = match major {
        Some(major) => Cluster::of_major(machine, major),
        None => Cluster::of(machine),
    };
    if !cluster.exists() {
        return Ok(None);
    }
    let major = cluster.major();
    let installed = machine.places.postgresql(major);
    let programs = installed.map_or_else(|| machine.packages.get(major), Ok);
    let programs = programs.with_context(|| {
        let home = cluster.home().display();
        format!(
            "{} is gone, which made {home}: install it again",
            cluster.postgresql()
        )
    })?;
    run(&cluster, programs).map(Some)
}
