//! A checkout and a machine, made of stand-ins.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use servers::{Packages, Places};
use tempfile::TempDir;
use xshell::{Shell, cmd};

use super::start;
use crate::server::apt::Apt;
use crate::server::{Cluster, Machine, Place, Purpose, Server};

/// A checkout of its own, with stand-ins for what the real machine has.
pub(crate) struct Sandbox {
    pub(super) folder: Arc<TempDir>,
    pub(super) sh: Shell,
}

impl Sandbox {
    /// Nothing is installed but the stand-ins to come.
    pub(crate) fn bare() -> Sandbox {
        let folder = tempfile::tempdir().unwrap();
        // The user that runs a cluster for root has to get through.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let sandbox = Sandbox::in_folder(Arc::new(folder));
        for folder in ["bin", "installed"] {
            fs::create_dir(sandbox.path(folder)).unwrap();
        }
        fs::create_dir(sandbox.sh.current_dir()).unwrap();
        sandbox.stand_in("bin/docker", "exit 1");
        sandbox
    }

    /// The stand-ins come before what is installed on the real machine.
    pub(super) fn with_real_binaries() -> Sandbox {
        let sandbox = Sandbox::bare();
        sandbox.show_real_binaries();
        sandbox
    }

    pub(super) fn in_folder(folder: Arc<TempDir>) -> Sandbox {
        let sh = Shell::new().unwrap();
        sh.change_dir(folder.path().join("a \"check out\" of $HOME"));
        sh.set_var("PATH", folder.path().join("bin"));
        sh.set_var("DATABASE_URL", "");
        sh.set_var("CHECKPOINTER_PG_PORT", "");
        Sandbox { folder, sh }
    }

    pub(super) fn show_real_binaries(&self) {
        let path = std::env::var("PATH").unwrap();
        let bin = self.path("bin");
        (self.sh).set_var("PATH", format!("{}:{path}", bin.display()));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn machine(&self) -> Machine<'_> {
        let path = self.sh.var_os("PATH").unwrap();
        let path: Vec<_> = std::env::split_paths(&path).collect();
        let mut installations = vec![self.path("installed")];
        if path.len() > 1 {
            installations.extend(Places::of_this_machine().installations);
        }
        let places = Places {
            path,
            installations,
            system: vec![self.path("sbin")],
            named_pgbouncer: None,
        };
        Machine {
            sh: &self.sh,
            places,
            packages: Packages::new(self.path("packages"), self.path("bin").into()),
            clusters: self.path("clusters"),
            apt: None,
            ask: None,
        }
    }

    /// Writes a shell script. A child does, because a file that this process holds
    /// open for writing can't be run, and other tests' children inherit it.
    pub(crate) fn stand_in(&self, name: &str, script: &str) {
        let path = self.path(name);
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && /bin/chmod 755 "$0""#;
        cmd!(self.sh, "/bin/sh -c {write} {path} {script}")
            .quiet()
            .run()
            .unwrap();
    }

    /// A folder of binaries that say they are of this version.
    pub(crate) fn stand_in_binaries(&self, folder: &str, version: &str) -> PathBuf {
        let path = self.path(folder);
        fs::create_dir_all(&path).unwrap();
        self.stand_in(&format!("{folder}/initdb"), "exit 1");
        let says = format!("echo 'pg_ctl (PostgreSQL) {version}'");
        self.stand_in(&format!("{folder}/pg_ctl"), &says);
        path
    }

    /// Writes down what it is called with, and what keeps services from starting.
    pub(crate) fn stand_in_apt(&self) {
        self.stand_in(
            "bin/apt-get",
            r#"
            case "$*" in
                *" install "*)
                    read -r line < ../etc/checkpointer-xtask.conf && echo "$line" >> ../calls
                    ../etc/policy-rc.d; echo "policy-rc.d: $?" >> ../calls
                    /bin/mv ../prepared/17 ../installed/17 ;;
            esac
            case "$*" in *pgbouncer*) echo > ../bin/pgbouncer ;; esac
            echo "apt-get $*" >> ../calls"#,
        );
        self.stand_in("bin/update-rc.d", r#"echo "update-rc.d $*" >> ../calls"#);
    }

    /// Root's machine with Debian, whose folder `etc` is the sandbox's.
    pub(crate) fn debian(&self) -> Machine<'_> {
        let etc = self.path("etc");
        Machine {
            apt: Some(Apt {
                policy: etc.join("policy-rc.d"),
                createcluster: etc,
                patience: Duration::from_secs(120),
            }),
            ..self.machine()
        }
    }

    /// Starts a private cluster. A machine without binaries can't; what it says
    /// then is checked instead.
    pub(super) fn start_cluster(&self) -> Option<Server> {
        let server = match start(&self.machine()) {
            Err(error) if self.machine().places.postgresql(None).is_none() => {
                assert_eq!(error.to_string(), Purpose::Server.nothing_works(None));
                return None;
            }
            result => result.unwrap(),
        };
        let home = Cluster::of(&self.machine()).home().to_owned();
        let major = server.programs.as_ref().unwrap().major();
        assert_eq!(server.place, Place::Cluster { home, major });
        Some(server)
    }

    pub(super) fn cluster_file(&self, name: &str) -> String {
        let home = Cluster::of(&self.machine()).home().to_owned();
        fs::read_to_string(home.join(name)).unwrap()
    }

    pub(super) fn postmaster(&self) -> String {
        let pid_file = self.cluster_file("data/postmaster.pid");
        pid_file.lines().next().unwrap().to_owned()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // A server must not outlive its folder; a failure has been told already.
        let _ = Cluster::of(&self.machine()).stop(&self.machine());
    }
}
