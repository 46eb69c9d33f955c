//! Says what tests need that isn't on a machine, before anything is built.

use std::fmt::Write as _;

use anyhow::{anyhow, bail, ensure};
use clap::ValueEnum as _;
use servers::Programs;
use xshell::cmd;

use super::need::Need;
use crate::server::{self, Machine, Wanted};

/// Returns the programs for tests with servers of their own, once all is here that those tests need
/// that aren't left out.
///
/// What is lacking, root installs on Debian and Ubuntu. Elsewhere a person on a terminal is asked
/// whether the command shall be run that does.
pub(crate) fn ensure_programs(
    machine: &Machine<'_>,
    wanted: Wanted,
    without: &[Need],
) -> anyhow::Result<Option<Programs>> {
    let programs = server::programs_at_hand(machine, wanted);
    let lacking = lacking(machine, programs.as_ref(), without);
    if lacking.is_empty() {
        return Ok(programs);
    }
    let mut packages: Vec<_> = lacking
        .iter()
        .flat_map(|need| need.packages())
        .copied()
        .collect();
    packages.dedup();
    bring(machine, &lacking, &packages)?;
    let programs = server::programs_at_hand(machine, wanted);
    let lacking = self::lacking(machine, programs.as_ref(), without);
    ensure!(lacking.is_empty(), "{}", explanation(&lacking, None));
    Ok(programs)
}

/// What a person goes without, and what can't be had here: no package brings it.
pub(crate) fn left_out(machine: &Machine<'_>, without: &[Need]) -> Vec<Need> {
    let refused = Need::value_variants().iter().copied();
    let refused = refused
        .filter(|need| need.packages().is_empty())
        .filter(|need| !without.contains(need) && !need.is_met(machine, None));
    without.iter().copied().chain(refused).collect()
}

fn lacking(machine: &Machine<'_>, programs: Option<&Programs>, without: &[Need]) -> Vec<Need> {
    let needs = Need::value_variants().iter().copied();
    needs
        .filter(|need| !without.contains(need))
        .filter(|need| !need.is_met(machine, programs))
        .collect()
}

fn bring(machine: &Machine<'_>, lacking: &[Need], packages: &[&str]) -> anyhow::Result<()> {
    if let Some(apt) = &machine.apt {
        ensure!(
            machine.may_install(packages)?,
            "{}",
            explanation(lacking, None)
        );
        let installed = apt.install(machine.sh, packages);
        return installed.map_err(|error| anyhow!("{error:#}\n{}", explanation(lacking, None)));
    }
    let command = command(machine, packages);
    let explanation = explanation(lacking, command.as_deref());
    let (Some(command), Some(ask)) = (command, machine.ask) else {
        bail!(explanation);
    };
    eprintln!("{explanation}");
    let answer = ask(&format!("run `{command}` now? [y/N]"))?;
    ensure!(
        answer.is_some_and(|answer| matches!(&*answer, "y" | "Y" | "yes")),
        "stopped: nothing was built"
    );
    cmd!(machine.sh, "sh -c {command}").run()?;
    Ok(())
}

/// The one command that installs packages here, if there is one that is known.
pub(crate) fn command(machine: &Machine<'_>, packages: &[&str]) -> Option<String> {
    let have = |program: &str| {
        let mut folders = machine.places.path.iter();
        folders.any(|folder| folder.join(program).exists())
    };
    let installers = [
        ("apt-get", "sudo apt-get install --yes", "postgresql"),
        ("dnf", "sudo dnf install --assumeyes", "postgresql-server"),
        ("brew", "brew install", "postgresql@17"),
    ];
    let (_, install, postgresql) = installers.into_iter().find(|(name, ..)| have(name))?;
    let mut names: Vec<_> = (packages.iter())
        .map(|&name| match name {
            server::POSTGRESQL => postgresql,
            // What these install is new enough.
            name if postgresql != server::POSTGRESQL && is_to_build_pgbouncer(name) => {
                server::PGBOUNCER
            }
            name => name,
        })
        .collect();
    names.dedup();
    Some(format!("{install} {}", names.join(" ")))
}

fn is_to_build_pgbouncer(package: &str) -> bool {
    server::TO_BUILD_PGBOUNCER.contains(&package)
}

pub(crate) fn explanation(lacking: &[Need], command: Option<&str>) -> String {
    let mut text = "some tests need what isn't on this machine:".to_owned();
    let mut without = String::new();
    for need in lacking {
        let value = need.to_possible_value();
        let help = value.and_then(|value| value.get_help().map(ToString::to_string));
        let _ = write!(text, "\n  - {need}: {}", help.unwrap_or_default());
        let _ = write!(without, " --without {need}");
    }
    if let Some(command) = command {
        let _ = write!(text, "\nto install that: {command}");
    }
    text + "\nto leave those tests out: cargo xtask test" + &without
}
