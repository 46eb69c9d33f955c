//! The distribution's packages, for root on Debian and Ubuntu.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use xshell::{Cmd, Shell, cmd};

/// What keeps packages from starting anything: files that are there for the moment.
#[derive(Debug)]
pub(crate) struct Apt {
    /// Debian's folder for settings of clusters, of which PostgreSQL's package
    /// would make one, on port 5432.
    pub(crate) createcluster: PathBuf,
    /// The program that Debian asks before it starts a service.
    pub(crate) policy: PathBuf,
}

impl Apt {
    /// Installs packages, and says so. No service of theirs is started, now or at
    /// the next boot.
    pub(crate) fn install(&self, sh: &Shell, packages: &[&str]) -> anyhow::Result<()> {
        eprintln!("installing {}", packages.join(" and "));
        fs::create_dir_all(&self.createcluster)
            .with_context(|| format!("create {}", self.createcluster.display()))?;
        let no_cluster = self.createcluster.join("checkpointer-xtask.conf");
        sh.write_file(&no_cluster, "create_main_cluster = false\n")?;
        // A policy of the machine's own stays.
        let ask_us = !self.policy.exists();
        if ask_us {
            sh.write_file(&self.policy, "#!/bin/sh\nexit 101\n")?;
            fs::set_permissions(&self.policy, Permissions::from_mode(0o755))
                .with_context(|| format!("make {} a program", self.policy.display()))?;
        }
        let installed = update_and_install(sh, packages);
        if ask_us {
            sh.remove_path(&self.policy)?;
        }
        sh.remove_path(&no_cluster)?;
        installed
    }
}

fn update_and_install(sh: &Shell, packages: &[&str]) -> anyhow::Result<()> {
    run(cmd!(sh, "apt-get update"))?;
    run(cmd!(
        sh,
        "apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends {packages...}"
    )
    .env("DEBIAN_FRONTEND", "noninteractive"))?;
    // That of PostgreSQL has nothing to start.
    if packages.contains(&"pgbouncer") {
        run(cmd!(sh, "update-rc.d pgbouncer disable"))?;
    }
    Ok(())
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
