//! What the tests need that make servers of their own, to break them.

use std::env;

use super::{Binaries, Machine};

/// The packages of the programs, on Debian and Ubuntu.
pub(crate) const POSTGRESQL: &str = "postgresql";
pub(crate) const PGBOUNCER: &str = "pgbouncer";

/// Installs what is missing of these packages, where packages can be installed. Without
/// it those tests fail and say what to install; all others run.
pub(crate) fn ensure_programs(
    machine: &Machine<'_>,
    packages: &[&'static str],
) -> anyhow::Result<()> {
    let _lock = machine.lock()?;
    let missing = missing(machine, packages);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.join(" and ");
    let Some(apt) = &machine.apt else {
        eprintln!("not on this machine: {names}; the tests that break servers will fail");
        return Ok(());
    };
    if let Err(error) = apt.install(machine.sh, &missing) {
        eprintln!("{names}: {error:#}; the tests that break servers will fail");
    }
    Ok(())
}

/// Those of the packages whose programs aren't there.
pub(super) fn missing(machine: &Machine<'_>, packages: &[&'static str]) -> Vec<&'static str> {
    let packages = packages.iter().copied();
    packages
        .filter(|package| match *package {
            PGBOUNCER => !has_pgbouncer(machine),
            _ => Binaries::find(machine, None).is_none(),
        })
        .collect()
}

fn has_pgbouncer(machine: &Machine<'_>) -> bool {
    let path = machine.sh.var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain([machine.sbin.clone()])
        .any(|folder| folder.join("pgbouncer").exists())
}
