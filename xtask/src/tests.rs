//! What the command line takes, and what tasks tell cargo.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use xshell::{Shell, cmd};

use crate::Xtask;
use crate::cargo::without_own_variables;
use crate::ci::is_oldest;
use crate::conformance::suite;
use crate::matrix::{Row, table};
use crate::program::{AUDIT, without_source};
use crate::test::Counts;

#[test]
fn the_command_line_is_sound() {
    Xtask::command().debug_assert();
}

#[test]
fn arguments_for_the_tests_come_after_two_dashes() {
    let parsed = Xtask::try_parse_from(["xtask", "test", "--", "name", "--exact"]).unwrap();
    let Xtask::Test(args) = parsed else {
        panic!("{parsed:?}");
    };
    expect_test::expect![[r#"
        Args {
            server: ServerArgs {
                from: None,
            },
            postgres: None,
            serde_json_features: false,
            browser: false,
            without: [],
            rest: [
                "name",
                "--exact",
            ],
        }
    "#]]
    .assert_debug_eq(&args);
}

#[test]
fn a_replay_needs_a_file() {
    let error = Xtask::try_parse_from(["xtask", "replay", "--memory"]).unwrap_err();
    expect_test::expect![[r#"
        error: the following required arguments were not provided:
          <FILE>...

        Usage: cargo xtask replay --memory <FILE>...

        For more information, try '--help'.
    "#]]
    .assert_eq(&error.to_string());
}

#[test]
fn an_unknown_task_is_explained() {
    let error = Xtask::try_parse_from(["xtask", "dbup"]).unwrap_err();
    expect_test::expect![[r#"
        error: unrecognized subcommand 'dbup'

          tip: some similar subcommands exist: 'db-url', 'db-up'

        Usage: cargo xtask <COMMAND>

        For more information, try '--help'.
    "#]]
    .assert_eq(&error.to_string());
}

#[test]
fn counts_add_up_over_every_line_and_report() {
    let mut counts = Counts::default();
    let report = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="4" failures="1" errors="1" uuid="x" time="0.5">
    <testsuite name="db" tests="3" disabled="0" errors="1" failures="1">
        <testcase name="it::passes" classname="db" time="0.1"/>
        <testcase name="it::fails" classname="db" time="0.1">
            <failure message="thread &apos;it::fails&apos; panicked" type="test failure">thread panicked:
assertion `left == right` failed</failure>
            <system-out>running 1 test</system-out>
        </testcase>
        <testcase name="it::crashes" classname="db" time="0.1">
            <error message="aborted with signal 6" type="test abort"/>
        </testcase>
    </testsuite>
    <testsuite name="xtask" tests="1" disabled="0" errors="0" failures="0">
        <testcase name="passes" classname="xtask" time="0.1"/>
    </testsuite>
</testsuites>"#;
    counts.add_report(report).unwrap();
    counts.add_line("running 4 tests\n");
    counts.add_line("test crates/db/src/lib.rs - (line 3) ... FAILED\n");
    counts.add_line("test crates/db/src/lib.rs - (line 9) ... ok\n");
    counts.add_line("test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.00s\n");
    assert_eq!((counts.passed, counts.failed), (5, 3));
    expect_test::expect![[r#"
        FAILED: db it::fails
            thread panicked:
            assertion `left == right` failed
        FAILED: db it::crashes
            aborted with signal 6
        FAILED: crates/db/src/lib.rs - (line 3)
    "#]]
    .assert_eq(&counts.failures());
}

#[test]
fn what_the_programs_take_is_answered_here() {
    for task in ["demo", "bench", "torture", "soak", "replay"] {
        let help = Xtask::try_parse_from(["xtask", task, "--help"]).unwrap_err();
        assert_eq!(help.kind(), clap::error::ErrorKind::DisplayHelp);
        assert!(
            help.to_string()
                .contains(&format!("Usage: cargo xtask {task}")),
            "{help}"
        );
    }
    let help = Xtask::try_parse_from(["xtask", "demo", "--help"]).unwrap_err();
    assert!(help.to_string().contains("--tasks <TASKS>"), "{help}");
    let mistake = Xtask::try_parse_from(["xtask", "soak", "--minutes", "0"]).unwrap_err();
    assert!(
        mistake.to_string().contains("expected a number above 0"),
        "{mistake}"
    );
}

#[test]
fn cargo_sees_no_variable_that_was_meant_for_xtask() {
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let sh = Shell::new().unwrap();
    let _kept = sh.push_env("CARGO_TERM_COLOR", "never");
    let told = without_own_variables(cmd!(sh, "env"))
        .quiet()
        .read()
        .unwrap();
    let names: Vec<_> = told
        .lines()
        .filter_map(|line| line.split_once('='))
        .collect();
    let has = |name: &str| names.iter().any(|(is, _)| is.starts_with(name));
    for own in ["CARGO_MANIFEST_DIR", "CARGO_PKG_"] {
        assert!(!has(own), "{own}");
    }
    assert!(has("CARGO_TERM_COLOR"));
}

#[test]
fn a_first_build_shows_what_it_does() {
    let sh = Shell::new().unwrap();
    let build = AUDIT.build(&sh);
    assert!(!build.get_args().any(|argument| argument == "--quiet"));
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let config = Path::new(&xtask).join("../.cargo/config.toml");
    let config = sh.read_file(config).unwrap();
    let alias = config.lines().find(|line| line.starts_with("xtask = "));
    let alias = alias.expect("`cargo xtask` is an alias");
    assert!(alias.contains("run ") && !alias.contains("-q"), "{alias}");
}

/// What a program finds in its checkout is that of the checkout in which cargo runs it, and not of
/// another one that shares its target folder and in which it was built.
#[test]
fn no_folder_of_a_checkout_is_compiled_in() {
    let compiled_in = ["env!", "(\"CARGO_MANIFEST_DIR\")"].concat();
    let xtask = std::env::var_os("CARGO_MANIFEST_DIR").unwrap();
    let checkout = Path::new(&xtask).parent().unwrap();
    for folder in ["bench", "crates", "demo", "examples", "tests", "xtask"] {
        for source in sources(&checkout.join(folder)) {
            let content = std::fs::read_to_string(&source).unwrap();
            assert!(!content.contains(&compiled_in), "{}", source.display());
        }
    }
}

/// The files with Rust below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.is_symlink() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn the_table_of_versions_says_what_came_out() {
    let row = |major, passed: u64, failure: Option<&str>| {
        let mut counts = Counts::default();
        counts.add_line(&format!("test result: ok. {passed} passed; 0 failed;"));
        Row {
            major,
            counts,
            took: Duration::from_secs(75),
            failure: failure.map(str::to_owned),
        }
    };
    expect_test::expect![[r#"
        PostgreSQL  passed  failed  seconds
                14       0       0       75  it is nowhere
                15     412       0       75
    "#]]
    .assert_eq(&format!(
        "{}\n",
        table(&[row(14, 0, Some("it is nowhere")), row(15, 412, None)])
    ));
}

#[test]
fn the_oldest_rust_is_known_by_its_minor_version() {
    let oldest = env!("CARGO_PKG_RUST_VERSION");
    assert!(is_oldest(&format!(
        "rustc {oldest}.3 (f6e511eec 2026-10-15)"
    )));
    assert!(!is_oldest("rustc 1.2.0 (something older)"));
    assert!(!is_oldest(&format!("rustc {oldest}9.0")));
}

#[test]
fn a_program_is_not_told_where_its_server_comes_from() {
    let given = "--tasks 3 --from package --ask --from=docker --dir from";
    let kept = without_source(given.split(' ').map(Into::into));
    assert_eq!(kept, ["--tasks", "3", "--ask", "--dir", "from"]);
}

#[test]
fn a_test_that_passes_with_langgraphs_saver_only_is_found() {
    let jsonb = suite::read("failed a[postgres]\npassed b\nfailed c\nfailed d\nskipped e").unwrap();
    assert_eq!(suite::counts(&jsonb), "1 passed, 3 failed, 1 skipped");
    let failed = suite::failed(&jsonb);
    assert_eq!(failed, ["a[postgres]", "c", "d"]);
    let official = suite::read("passed a[postgres]\nfailed c").unwrap();
    assert_eq!(suite::regressed(&official, &failed), ["a[postgres]", "d"]);
    assert!(suite::read("").is_err());
}
