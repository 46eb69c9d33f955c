//! What the tests need that make servers of their own, to break them.

use std::env;

use super::{Binaries, Machine};

/// Installs what is missing, where packages can be installed. Without it those tests
/// fail and say what to install; all others run.
pub(crate) fn ensure_programs(machine: &Machine<'_>) -> anyhow::Result<()> {
    let _lock = machine.lock()?;
    let missing = missing(machine);
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

/// The packages of the programs that aren't there.
pub(super) fn missing(machine: &Machine<'_>) -> Vec<&'static str> {
    let path = machine.sh.var_os("PATH").unwrap_or_default();
    let pgbouncer = env::split_paths(&path)
        .chain([machine.sbin.clone()])
        .any(|folder| folder.join("pgbouncer").exists());
    let postgresql = Binaries::find(machine, None).is_some();
    [("postgresql", postgresql), ("pgbouncer", pgbouncer)]
        .into_iter()
        .filter_map(|(package, is_there)| (!is_there).then_some(package))
        .collect()
}
