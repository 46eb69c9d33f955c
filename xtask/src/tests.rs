#![expect(clippy::unwrap_used, reason = "a test may panic")]

use clap::{CommandFactory as _, Parser as _};

use crate::Xtask;
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
    counts.add_report(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="12" failures="2" errors="1" uuid="x" time="0.5">
    <testsuite name="db" tests="12" disabled="0" errors="1" failures="2">"#,
    );
    counts.add_line("test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 7 filtered out; finished in 0.00s\n");
    counts.add_line("running 4 tests\n");
    let expected = Counts {
        passed: 12,
        failed: 4,
    };
    assert_eq!(counts, expected);
}
