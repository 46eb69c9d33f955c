//! A private cluster of this checkout, run with the machine's own binaries.
//!
//! Its home holds `data`, the `password`, the `port` and a marker. The port is
//! written last: a home without one is what an interrupted start left.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown,
};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use xshell::{Shell, cmd};

use super::{Binaries, Machine, port, url};

/// Says that a home is ours to remove.
const MARKER: &str = "made-by-cargo-xtask";

/// Says which process serves the data.
const PID_FILE: &str = "data/postmaster.pid";

/// The server's log, inside `data`, where the server's user can write.
const LOG: &str = "data/server.log";

/// Passed on to the server, which reads the last of equal settings.
const SETTINGS: &str = "
# cargo xtask: for programs of this machine only, and by TCP only, since a socket's
# path has a limit that a checkout's can break.
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
";

const START_ATTEMPTS: u32 = 5;

/// For a server that seems to run but doesn't answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) struct Cluster<'a> {
    sh: &'a Shell,
    home: PathBuf,
    /// PostgreSQL refuses to run as this user: somebody else must.
    is_root: bool,
}

impl<'a> Cluster<'a> {
    pub(crate) fn of(machine: &Machine<'a>) -> Cluster<'a> {
        Cluster {
            sh: machine.sh,
            home: match &machine.shared_clusters {
                Some(shared) => shared.join(machine.checkout_id()),
                None => machine.checkout().join("target/postgres"),
            },
            is_root: machine.shared_clusters.is_some(),
        }
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

    pub(crate) fn url(&self) -> Option<String> {
        let (password, port) = (self.read::<String>("password")?, self.port()?);
        Some(format!(
            "postgres://postgres:{password}@127.0.0.1:{port}/postgres"
        ))
    }

    pub(crate) fn is_running(&self, binaries: &Binaries) -> anyhow::Result<bool> {
        if !self.has_pid_file() || self.is_zombie() {
            return Ok(false);
        }
        let status = self.run(binaries, "pg_ctl", ["status", "--pgdata", "data"])?;
        Ok(status.status.success())
    }

    /// Makes the cluster if there is none, starts it if it doesn't run, and returns
    /// its URL once it answers.
    pub(crate) fn start(&self, binaries: &Binaries) -> anyhow::Result<String> {
        if !self.exists() {
            self.create(binaries)
                .with_context(|| format!("make a cluster in {}", self.home.display()))?;
        }
        let started = Instant::now();
        loop {
            if !self.is_running(binaries)? {
                self.start_stopped(binaries)?;
            }
            let url = (self.url()).context("the cluster's password is gone")?;
            let Err(error) = url::probe(&url) else {
                return Ok(url);
            };
            if started.elapsed() > ANSWER_TIMEOUT {
                return Err(error).with_context(|| {
                    format!(
                        "the process named in {} doesn't answer; remove the file if that \
                         process isn't PostgreSQL",
                        self.home.join(PID_FILE).display()
                    )
                });
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops the server, and says whether it was running.
    pub(crate) fn stop(&self, machine: &Machine<'_>) -> anyhow::Result<bool> {
        if !self.has_pid_file() {
            return Ok(false);
        }
        let binaries = Binaries::find(machine, self.major())
            .with_context(|| format!("no pg_ctl to stop {} with", self.home.display()))?;
        let was_running = self.is_running(&binaries)?;
        if was_running {
            let args = ["stop", "--pgdata", "data", "--mode", "fast", "--wait"];
            succeeded(&self.run(&binaries, "pg_ctl", args)?).context("stop the cluster")?;
        }
        Ok(was_running)
    }

    /// Removes the stopped cluster with its data.
    pub(crate) fn purge(&self) -> anyhow::Result<()> {
        if !self.home.exists() {
            return Ok(());
        }
        self.check_marker()?;
        fs::remove_dir_all(&self.home).with_context(|| format!("remove {}", self.home.display()))
    }

    fn check_marker(&self) -> anyhow::Result<()> {
        ensure!(
            self.home.join(MARKER).exists(),
            "{} wasn't made by `cargo xtask`: it stays as it is",
            self.home.display()
        );
        Ok(())
    }

    fn create(&self, binaries: &Binaries) -> anyhow::Result<()> {
        if self.home.exists() {
            self.check_marker()?;
            fs::remove_dir_all(&self.home)?;
        }
        fs::create_dir_all(&self.home)?;
        if self.is_root {
            // Whatever the umask: the server's user must get through.
            for folder in self.home.ancestors().take(2) {
                fs::set_permissions(folder, Permissions::from_mode(0o755))?;
            }
        }
        self.write_private(MARKER, &self.sh.current_dir().display().to_string())?;
        self.write_private("password", &random_password()?)?;
        let data = self.home.join("data");
        DirBuilder::new().mode(0o700).create(&data)?;
        if self.is_root {
            let (uid, gid) = self.unprivileged_user()?;
            chown(&data, Some(uid), Some(gid))?;
            chown(self.home.join("password"), Some(uid), Some(gid))?;
        }

        let initdb = self.run(
            binaries,
            "initdb",
            [
                "--pgdata=data",
                "--username=postgres",
                "--pwfile=password",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
            ],
        )?;
        succeeded(&initdb).context("run initdb")?;
        (OpenOptions::new().append(true).create(true))
            .open(data.join("postgresql.conf"))?
            .write_all(SETTINGS.as_bytes())?;
        self.write_private("port", &port::pick()?.to_string())
    }

    fn start_stopped(&self, binaries: &Binaries) -> anyhow::Result<()> {
        if self.is_zombie() {
            // Nor would PostgreSQL start: to it, that process lives.
            fs::remove_file(self.home.join(PID_FILE)).context("remove a dead server's pid file")?;
        }
        let mut outcome = Ok(());
        for attempt in 0..START_ATTEMPTS {
            if attempt > 0 {
                // The processes of a killed server may take a moment to go.
                thread::sleep(Duration::from_secs(1));
            }
            let mut port = self.port().context("the cluster's port is gone")?;
            if !port::is_free(port) {
                port = port::pick()?;
                self.write_private("port", &port.to_string())?;
            }
            let options = format!("-p {port}");
            let args = [
                "start",
                "--pgdata=data",
                "--log",
                LOG,
                "--wait",
                "--options",
                &options,
            ];
            outcome = succeeded(&self.run(binaries, "pg_ctl", args)?);
            if outcome.is_ok() {
                break;
            }
        }
        outcome.with_context(|| {
            let log = self.home.join(LOG);
            let lines = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<_> = lines.lines().collect();
            let end = lines[lines.len().saturating_sub(8)..].join("\n");
            format!(
                "the private cluster doesn't start; the end of {}:\n{end}\n",
                log.display()
            )
        })
    }

    /// Runs one of PostgreSQL's programs at home, as the owner of the data. Paths
    /// are relative to home, because `pg_ctl` hands them to a shell.
    fn run<I>(&self, binaries: &Binaries, program: &str, args: I) -> anyhow::Result<Output>
    where
        I: IntoIterator,
        I::Item: AsRef<OsStr>,
    {
        let mut command = Command::from(self.sh.cmd(binaries.program(program)));
        command.args(args).current_dir(&self.home);
        if self.is_root {
            let owner = fs::metadata(self.home.join("data"))?;
            command.uid(owner.uid()).gid(owner.gid());
        }
        (command.stdin(Stdio::null()).output()).with_context(|| format!("run {program}"))
    }

    /// The ids of a user and its group that may run PostgreSQL.
    fn unprivileged_user(&self) -> anyhow::Result<(u32, u32)> {
        for user in ["postgres", "nobody"] {
            let id = |flag: &str| -> Option<u32> {
                let id = cmd!(self.sh, "id {flag} {user}").quiet().ignore_stderr();
                id.read().ok()?.parse().ok()
            };
            if let (Some(uid), Some(gid)) = (id("-u"), id("-g")) {
                return Ok((uid, gid));
            }
        }
        bail!("PostgreSQL can't run as root, and there is neither a user `postgres` nor `nobody`")
    }

    fn has_pid_file(&self) -> bool {
        self.home.join(PID_FILE).exists()
    }

    /// Whether the server was killed and nobody has asked for its exit status. In a
    /// container whose first process isn't an init that can last for ever, and
    /// `pg_ctl` takes it for a running server.
    fn is_zombie(&self) -> bool {
        let state = || -> Option<char> {
            let pid_file = fs::read_to_string(self.home.join(PID_FILE)).ok()?;
            let pid = pid_file.lines().next()?;
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            // `pid (name) state …`, and a name may hold anything.
            stat.rsplit_once(") ")?.1.chars().next()
        };
        state() == Some('Z')
    }

    fn port(&self) -> Option<u16> {
        self.read("port")
    }

    fn read<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        let content = fs::read_to_string(self.home.join(name)).ok()?;
        content.trim().parse().ok()
    }

    fn write_private(&self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.home.join(name);
        (OpenOptions::new().write(true).create(true).truncate(true))
            .mode(0o600)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .with_context(|| format!("write {}", path.display()))
    }
}

fn succeeded(output: &Output) -> anyhow::Result<()> {
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", stderr.trim_end());
    Ok(())
}

fn random_password() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    (File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut bytes)))
        .context("read /dev/urandom")?;
    Ok(format!("{:032x}", u128::from_le_bytes(bytes)))
}
