//! What is said before the tests run.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use expect_test::expect;

use super::is_left_out;
use super::lacking::{ensure_programs, left_out};
use super::need::Need;
use super::selection::{Selection, Which};
use crate::server::tests::Sandbox;
use crate::server::{Ask, Machine, Wanted};

#[test]
fn what_is_lacking_is_said_with_the_command_that_brings_it() {
    let sandbox = Sandbox::bare();
    let said = |without: &[Need]| {
        let programs = ensure_programs(&sandbox.machine(), Wanted::default(), without);
        programs.unwrap_err().to_string()
    };
    expect![[r#"
        some tests need what isn't on this machine:
          - tls: A PostgreSQL with TLS, and psql
          - replication: Standbys, made by `pg_basebackup`, and psql
          - dump: `pg_dump` and psql, and a PostgreSQL of another version
          - pgbouncer: PgBouncer
          - new-pgbouncer: A PgBouncer from 1.21 on: an installed one, that of `CHECKPOINTER_PGBOUNCER`, or one that is built from Debian's source
        to leave those tests out: cargo xtask test --without tls --without replication --without dump --without pgbouncer --without new-pgbouncer"#]]
    .assert_eq(&said(&[Need::Mounts]));

    sandbox.stand_in("bin/apt-get", "exit 1");
    expect![[r#"
        some tests need what isn't on this machine:
          - tls: A PostgreSQL with TLS, and psql
          - pgbouncer: PgBouncer
          - new-pgbouncer: A PgBouncer from 1.21 on: an installed one, that of `CHECKPOINTER_PGBOUNCER`, or one that is built from Debian's source
        to install that: sudo apt-get install --yes postgresql pgbouncer gcc make pkg-config libevent-dev python3
        to leave those tests out: cargo xtask test --without tls --without pgbouncer --without new-pgbouncer"#]]
    .assert_eq(&said(&[Need::Dump, Need::Mounts, Need::Replication]));
}

#[test]
fn what_is_left_out_may_be_lacking() {
    let sandbox = Sandbox::bare();
    let all = [
        Need::Tls,
        Need::Replication,
        Need::Dump,
        Need::Pgbouncer,
        Need::NewPgbouncer,
        Need::Mounts,
    ];
    let programs = ensure_programs(&sandbox.machine(), Wanted::default(), &all);
    assert!(programs.unwrap().is_none());
}

#[test]
fn root_on_debian_installs_what_is_lacking() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in_binaries("prepared/17/bin", "17.5");
    for program in ["psql", "pg_dump", "pg_basebackup"] {
        sandbox.stand_in(&format!("prepared/17/bin/{program}"), "exit 1");
    }
    let settings = r"printf 'ssl_ciphers\tSTRING\tHIGH:MEDIUM\n'";
    sandbox.stand_in("prepared/17/bin/postgres", settings);
    sandbox.stand_in_apt();
    // It could bring another version, and brings nothing.
    sandbox.stand_in("bin/npm", r#"[ "$1" = --version ]"#);
    for tool in ["python3", "cc", "make"] {
        sandbox.stand_in(&format!("bin/{tool}"), r#"[ "$1" = --version ]"#);
    }
    sandbox.stand_in("bin/unshare", "exit 0");
    // There once `libevent-dev` was installed.
    sandbox.stand_in("bin/pkg-config", "[ -e ${0%/*}/pgbouncer ]");

    let programs = ensure_programs(&sandbox.debian(), Wanted::default(), &[]);
    assert_eq!(programs.unwrap().unwrap().major(), 17);
    let calls = fs::read_to_string(sandbox.path("calls")).unwrap();
    let packages = " postgresql pgbouncer gcc make pkg-config libevent-dev python3\n";
    assert!(calls.contains(packages), "{calls}");
    // Nothing is lacking any more.
    ensure_programs(&sandbox.machine(), Wanted::default(), &[]).unwrap();

    let settings = r"printf 'ssl_ciphers\tSTRING\tnone\n'";
    sandbox.stand_in("installed/17/bin/postgres", settings);
    let error = ensure_programs(&sandbox.machine(), Wanted::default(), &[]).unwrap_err();
    assert!(error.to_string().contains("  - tls: "), "{error}");
}

#[test]
fn a_person_is_asked_whether_the_command_shall_be_run() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in("bin/apt-get", "exit 1");
    let calls = sandbox.path("calls");
    sandbox.stand_in("bin/sh", &format!(r#"echo "$2" >> '{}'"#, calls.display()));
    let mut machine = sandbox.machine();
    let run = |machine: &Machine<'_>| {
        let rest = [
            Need::Dump,
            Need::Mounts,
            Need::Replication,
            Need::NewPgbouncer,
        ];
        ensure_programs(machine, Wanted::default(), &rest)
            .unwrap_err()
            .to_string()
    };
    // The end of the input, and no answer.
    let refusals: [Ask; 2] = [|_| Ok(None), |_| Ok(Some(String::new()))];
    for refusal in refusals {
        machine.ask = Some(refusal);
        assert_eq!(run(&machine), "stopped: nothing was built");
    }
    assert!(!calls.exists());

    machine.ask = Some(|question| {
        let command = "run `sudo apt-get install --yes postgresql pgbouncer` now? [y/N]";
        assert_eq!(question, command);
        Ok(Some("y".to_owned()))
    });
    // It brings nothing here.
    assert!(run(&machine).starts_with("some tests need what isn't on this machine:"));
    let ran = fs::read_to_string(calls).unwrap();
    assert_eq!(ran, "sudo apt-get install --yes postgresql pgbouncer\n");
}

#[test]
fn a_failure_to_install_stops_everything() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in("bin/apt-get", "exit 100");
    let error = ensure_programs(&sandbox.debian(), Wanted::default(), &[]).unwrap_err();
    assert!(
        error.to_string().starts_with("`apt-get update` failed"),
        "{error}"
    );
    let hint = "\nto leave those tests out: cargo xtask test --without tls ";
    assert!(error.to_string().contains(hint), "{error}");
    assert_eq!(fs::read_dir(sandbox.path("etc")).unwrap().count(), 0);
}

#[test]
fn what_no_package_brings_is_left_out() {
    let sandbox = Sandbox::bare();
    let machine = sandbox.machine();
    assert_eq!(left_out(&machine, &[Need::Tls]), [Need::Tls, Need::Mounts]);

    sandbox.stand_in("bin/unshare", "exit 0");
    assert_eq!(left_out(&sandbox.machine(), &[]), []);
}

#[test]
fn tests_are_left_out_of_one_binary_by_their_full_names() {
    let all = Selection::of(Which::All, &[]);
    expect!["not package(browser)"].assert_eq(&all.filter());
    let tests = ["tls::a".to_owned(), "pooler::b".to_owned()];
    expect![
        "not (package(browser) | binary_id(tests::faults) & (test(=tls::a) | test(=pooler::b)))"
    ]
    .assert_eq(
        &Selection {
            left_out: &tests,
            ..all
        }
        .filter(),
    );
    assert!(Need::Replication.is_of("pooler::outages::a"));
    assert!(!Need::Pgbouncer.is_of("tls::pooler::a"));
    assert!(Need::NewPgbouncer.is_of("pooler::leaks::new::a"));
    assert!(!Need::NewPgbouncer.is_of("pooler::leaks::old::a"));
}

#[test]
fn tests_of_json_are_those_in_memory_and_some_on_a_server() {
    expect!["package(checkpointer) | package(checkpointer-suite) | package(langgraph) | binary_id(tests::it) & (test(/^checkpointer::contract::/) | test(/^checkpointer::fidelity::/) | test(/^checkpointer::formats::/) | test(/^langgraph::/))"]
        .assert_eq(&Selection::of(Which::Json, &[]).filter());
}

#[test]
fn without_nextest_the_tests_of_json_are_run_in_two_goes() {
    let goes = Which::Json.without_nextest();
    let goes = goes.iter().map(|(which, names)| {
        let (which, names) = (which.join(" "), names.join(" "));
        format!("{which} -- {names}\n")
    });
    expect![[r#"
        --package checkpointer --package checkpointer-suite --package langgraph --features serde_json/arbitrary_precision,serde_json/preserve_order --lib --test memory -- 
        --workspace --exclude browser --test it --features tests/serde-json-features -- checkpointer::contract:: checkpointer::fidelity:: checkpointer::formats:: langgraph::
    "#]].assert_eq(&goes.collect::<String>());
}

#[test]
fn tests_on_citus_are_left_out_where_no_url_names_one() {
    let (on_citus, other) = ("citus::transactions::within::a", "pooler::a");
    assert!(is_left_out(on_citus, &[], false));
    assert!(!is_left_out(on_citus, &[], true));
    assert!(!is_left_out(other, &[], false));
    assert!(is_left_out(other, &[Need::Pgbouncer], true));
}
