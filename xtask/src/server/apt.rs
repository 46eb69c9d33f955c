//! The distribution's packages, for root on Debian and Ubuntu.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use xshell::{Cmd, Shell, cmd};

/// How long another `apt-get` may take, as every Debian runs one at boot.
pub(crate) const LOCK_TIMEOUT: Duration = Duration::from_secs(120);

/// What keeps packages from starting anything: files that are there for the moment.
#[derive(Debug)]
pub(crate) struct Apt {
    /// Debian's folder for settings of clusters, of which PostgreSQL's package
    /// would make one, on port 5432.
    pub(crate) createcluster: PathBuf,
    /// The program that Debian asks before it starts a service.
    pub(crate) policy: PathBuf,
    /// How long another `apt-get` may take.
    pub(crate) patience: Duration,
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
        let installed = self.update_and_install(sh, packages);
        if ask_us {
            sh.remove_path(&self.policy)?;
        }
        sh.remove_path(&no_cluster)?;
        installed
    }

    fn update_and_install(&self, sh: &Shell, packages: &[&str]) -> anyhow::Result<()> {
        self.update(sh)?;
        let patience = format!("DPkg::Lock::Timeout={}", self.patience.as_secs());
        run(cmd!(
            sh,
            "apt-get -o {patience} install -y --no-install-recommends {packages...}"
        )
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
        // That of PostgreSQL has nothing to start.
        if packages.contains(&"pgbouncer") {
            run(cmd!(sh, "update-rc.d pgbouncer disable"))?;
        }
        Ok(())
    }

    /// Gets the lists of packages. `apt-get` itself waits for the lock of packages, and not for this
    /// one.
    fn update(&self, sh: &Shell) -> anyhow::Result<()> {
        let late = Instant::now() + self.patience;
        loop {
            let mut update = Command::from(cmd!(sh, "apt-get update").env("LC_ALL", "C"));
            update.stdin(Stdio::null()).stdout(io::stderr());
            let update = update.stderr(Stdio::piped()).spawn();
            let mut update = update.context("run `apt-get update`")?;
            let said = show(update.stderr.take())?;
            let status = update.wait()?;
            if status.success() {
                return Ok(());
            }
            let is_locked = said.contains("Could not get lock");
            ensure!(is_locked, "`apt-get update` failed ({status})");
            ensure!(
                Instant::now() < late,
                "another apt-get has kept its lock for {:?}: try again once it has ended",
                self.patience
            );
            eprintln!("waiting for another apt-get");
            thread::sleep(Duration::from_secs(2));
        }
    }
}

/// Shows what a command says while it says that.
fn show(said: Option<ChildStderr>) -> io::Result<String> {
    let mut all = String::new();
    for line in said
        .map(BufReader::new)
        .into_iter()
        .flat_map(BufRead::lines)
    {
        let line = line?;
        eprintln!("{line}");
        all = all + &line + "\n";
    }
    Ok(all)
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
