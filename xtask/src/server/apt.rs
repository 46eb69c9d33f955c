//! The distribution's PostgreSQL, for root on Debian and Ubuntu.

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use xshell::{Cmd, Shell, cmd};

/// Installs `postgresql`. The package would set up a server of its own on port
/// 5432 at once; a file in `configuration`, there for the moment, prevents that.
pub(crate) fn install(sh: &Shell, configuration: &Path) -> anyhow::Result<()> {
    eprintln!("no PostgreSQL on this machine: installing the package `postgresql`");
    fs::create_dir_all(configuration)
        .with_context(|| format!("create {}", configuration.display()))?;
    let no_cluster = configuration.join("checkpointer-xtask.conf");
    sh.write_file(&no_cluster, "create_main_cluster = false\n")?;
    let installed = update_and_install(sh);
    sh.remove_path(&no_cluster)?;
    installed
}

fn update_and_install(sh: &Shell) -> anyhow::Result<()> {
    run(cmd!(sh, "apt-get update"))?;
    run(cmd!(
        sh,
        "apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends postgresql"
    )
    .env("DEBIAN_FRONTEND", "noninteractive"))
}

/// What the command says goes to stderr: stdout is for the task's own result.
fn run(cmd: Cmd<'_>) -> anyhow::Result<()> {
    let name = cmd.to_string();
    let status = (Command::from(cmd)
        .stdin(Stdio::null())
        .stdout(io::stderr())
        .status())
    .with_context(|| format!("run `{name}`"))?;
    ensure!(status.success(), "`{name}` failed ({status})");
    Ok(())
}
