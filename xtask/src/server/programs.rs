//! What the tests need that have servers of their own, to break them.

use super::Machine;

/// The packages of the programs, on Debian and Ubuntu.
pub(crate) const POSTGRESQL: &str = "postgresql";
pub(crate) const PGBOUNCER: &str = "pgbouncer";

/// Installs what is missing of these packages, where packages can be installed. Without
/// it those tests fail; all others run.
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
    let consequence = "what breaks servers will fail";
    match &machine.apt {
        Some(apt) if apt.may_install(&missing)? => {
            if let Err(error) = apt.install(machine.sh, &missing) {
                eprintln!("{names}: {error:#}; {consequence}");
            }
        }
        _ => eprintln!(
            "not on this machine: {names}; {consequence} (Debian, Ubuntu: sudo apt-get install {0}; \
             macOS: brew install {0})",
            missing.join(" ")
        ),
    }
    Ok(())
}

/// Those of the packages whose programs aren't there.
pub(super) fn missing(machine: &Machine<'_>, packages: &[&'static str]) -> Vec<&'static str> {
    let packages = packages.iter().copied();
    packages
        .filter(|package| match *package {
            PGBOUNCER => machine.places.pgbouncer().is_none(),
            _ => machine.places.postgresql(None).is_none(),
        })
        .collect()
}
