//! The private clusters of this checkout: the usual one, and those of further versions.
//!
//! A cluster's home holds `data`, the `password`, the `port` and a marker. The port is written last: a home
//! without one is what an interrupted start left.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use servers::state::Unusable;
use servers::{PidFile, Programs, Stop, Workspace, port};

use super::{Machine, url};

/// Says that a home is ours to remove.
const MARKER: &str = "made-by-cargo-xtask";

/// With the data, where the server's user can write.
const LOG: &str = "data/server.log";

const SETTINGS: &str = "max_connections = 200\n";

/// For a server that seems to run but doesn't answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Cluster {
    home: PathBuf,
    checkout: PathBuf,
}

impl Cluster {
    /// Names the cluster of this checkout: in `target`, if an earlier `cargo xtask` has made it
    /// there, else out of reach of `cargo clean`.
    pub(crate) fn of(machine: &Machine<'_>) -> Self {
        let in_target = machine.checkout().join("target/postgres");
        let home = if in_target.join("port").exists() {
            in_target
        } else {
            machine.clusters.join(machine.checkout_id())
        };
        Self {
            home,
            checkout: machine.checkout(),
        }
    }

    /// Names that of a version: the usual one, if its data are of that version.
    pub(crate) fn of_major(machine: &Machine<'_>, major: u32) -> Self {
        let usual = Self::of(machine);
        if usual.major() == Some(major) {
            return usual;
        }
        let name = format!("{}-{major}", machine.checkout_id());
        Self {
            home: machine.clusters.join(name),
            ..usual
        }
    }

    /// Names all that there may be, the usual one first.
    pub(crate) fn all(machine: &Machine<'_>) -> Vec<Self> {
        let usual = Self::of(machine);
        let checkout = usual.checkout.clone();
        let of_version = format!("{}-", machine.checkout_id());
        let entries = machine.clusters.read_dir();
        let mut homes: Vec<_> = (entries.into_iter().flatten().flatten())
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&of_version))
            .map(|entry| entry.path())
            .collect();
        homes.sort();
        let further = homes.into_iter().map(|home| Self {
            home,
            checkout: checkout.clone(),
        });
        [usual].into_iter().chain(further).collect()
    }

    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    pub(crate) fn exists(&self) -> bool {
        self.port().is_some()
    }

    /// The version that made the data and alone can run it.
    pub(crate) fn major(&self) -> Option<u32> {
        self.read("data/PG_VERSION")
    }

    /// What made the data, in words.
    pub(crate) fn postgresql(&self) -> String {
        let major = self.major().map(|major| format!(" {major}"));
        format!("PostgreSQL{}", major.unwrap_or_default())
    }

    pub(crate) fn url(&self) -> Option<String> {
        let (password, port) = (self.read::<String>("password")?, self.port()?);
        Some(format!(
            "postgres://postgres:{password}@127.0.0.1:{port}/postgres"
        ))
    }

    pub(crate) fn is_running(&self, programs: &Programs) -> bool {
        self.server(programs).is_running()
    }

    /// Makes the cluster if there is none, starts it if it doesn't run, and returns its URL once it
    /// answers.
    pub(crate) fn start(&self, programs: &Programs) -> anyhow::Result<String> {
        if !self.exists() {
            self.create(programs)?;
        }
        let started = Instant::now();
        loop {
            if !self.is_running(programs) {
                let port = self.port().context("the cluster's port is gone")?;
                let port = self.server(programs).start_near(port)?;
                self.write("port", &port.to_string())?;
            }
            let url = (self.url()).context("the cluster's password is gone")?;
            let Err(error) = url::probe(&url) else {
                return Ok(url);
            };
            if started.elapsed() > ANSWER_TIMEOUT {
                return Err(error).with_context(|| {
                    format!(
                        "the process named in {} doesn't answer; remove the file if that process \
                         isn't PostgreSQL",
                        PidFile::of(&self.home).path().display()
                    )
                });
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops the server, and says whether it was running.
    pub(crate) fn stop(&self, machine: &Machine<'_>) -> anyhow::Result<bool> {
        let Some(process) = PidFile::of(&self.home).server() else {
            return Ok(false);
        };
        let programs = machine.programs(self.major()).with_context(|| {
            format!(
                "{} is gone, which runs {}: stop it by `kill -INT {process}`",
                self.postgresql(),
                self.home.display()
            )
        })?;
        let was_running = self.is_running(&programs);
        if was_running {
            let stopped = self.server(&programs).stop(Stop::Fast);
            stopped.context("stop the cluster")?;
        }
        Ok(was_running)
    }

    /// Removes the stopped cluster with its data, and says whether there was one.
    pub(crate) fn purge(&self) -> anyhow::Result<bool> {
        if !self.home.exists() {
            return Ok(false);
        }
        self.check_marker()?;
        // The marker goes last: what can't be removed stays ours to remove.
        for folder in [self.home.join("data"), self.home.clone()] {
            if folder.exists() {
                fs::remove_dir_all(&folder)
                    .with_context(|| format!("remove {}", folder.display()))?;
            }
        }
        Ok(true)
    }

    fn server(&self, programs: &Programs) -> servers::Cluster {
        let workspace = Workspace::open(self.home.clone());
        servers::Cluster::new(workspace, programs.clone(), LOG)
    }

    fn check_marker(&self) -> anyhow::Result<()> {
        let marker = self.home.join(MARKER).try_exists();
        ensure!(
            marker.with_context(|| format!("look into {}", self.home.display()))?,
            "{} wasn't made by `cargo xtask`: it stays as it is",
            self.home.display()
        );
        Ok(())
    }

    fn create(&self, programs: &Programs) -> anyhow::Result<()> {
        let unusable = || Unusable::new(&self.home);
        if self.home.exists() {
            self.check_marker().with_context(unusable)?;
            fs::remove_dir_all(&self.home).with_context(unusable)?;
        }
        fs::create_dir_all(&self.home).with_context(unusable)?;
        self.write(MARKER, &self.checkout.display().to_string())?;
        let workspace = Workspace::make(self.home.clone())?;
        workspace.write("password", random_password()?)?;
        let server = servers::Cluster::new(workspace, programs.clone(), LOG);
        server.make(&["--pwfile=password", "--auth=scram-sha-256"], SETTINGS)?;
        self.write("port", &port::pick()?.to_string())
    }

    fn port(&self) -> Option<u16> {
        self.read("port")
    }

    fn read<T: FromStr>(&self, name: &str) -> Option<T> {
        let content = fs::read_to_string(self.home.join(name)).ok()?;
        content.trim().parse().ok()
    }

    fn write(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.home.join(name);
        fs::write(&path, content).with_context(|| format!("write {}", path.display()))
    }
}

fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    (File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)))
        .context("read /dev/urandom")?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
