//! The private clusters of a checkout.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::thread;

use servers::{PidFile, port};
use xshell::cmd;

use super::{Sandbox, start};
use crate::server::{Cluster, down, running, url};

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
fn a_private_cluster_is_started_once() {
    let sandbox = Sandbox::with_real_binaries();
    let Some(first) = sandbox.start_cluster() else {
        return;
    };
    let said = first.to_string();
    assert!(
        said.starts_with("started the private cluster in "),
        "{said}"
    );
    let postmaster = sandbox.postmaster();
    assert_eq!(
        running(&sandbox.machine()).unwrap(),
        Some(first.url.clone())
    );

    let second = sandbox.start_cluster().unwrap();
    assert_eq!(second.url, first.url);
    let said = second.to_string();
    assert!(said.starts_with("using the private cluster in "), "{said}");
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
fn a_server_whose_number_another_program_has_by_now_is_started_again() {
    let sandbox = Sandbox::with_real_binaries();
    let Some(first) = sandbox.start_cluster() else {
        return;
    };
    let file = sandbox.cluster_file("data/postmaster.pid");
    down(&sandbox.machine(), false).unwrap();
    let (_, rest) = file.split_once('\n').unwrap();
    let path = PidFile::of(Cluster::of(&sandbox.machine()).home()).path();
    fs::write(path, format!("{}\n{rest}", process::id())).unwrap();

    assert_eq!(running(&sandbox.machine()).unwrap(), None);
    let nothing: [String; 0] = [];
    assert_eq!(down(&sandbox.machine(), false).unwrap(), nothing);
    assert_eq!(sandbox.start_cluster().unwrap().url, first.url);
}

/// The home of a cluster that another version has made, and that was killed.
fn made_by_16(sandbox: &Sandbox) -> PathBuf {
    let home = Cluster::of(&sandbox.machine()).home().to_owned();
    fs::create_dir_all(home.join("data")).unwrap();
    let killed = process::id().to_string();
    for (name, content) in [
        ("made-by-cargo-xtask", ""),
        ("password", "p"),
        ("port", "1"),
        ("data/PG_VERSION", "16"),
        ("data/postmaster.pid", &killed),
    ] {
        fs::write(home.join(name), content).unwrap();
    }
    home
}

#[test]
fn a_cluster_whose_programs_are_gone_names_them_and_can_be_removed() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in_binaries("installed/17/bin", "17.5");
    let home = made_by_16(&sandbox);
    let error = format!("{:#}", start(&sandbox.machine()).unwrap_err());
    let gone = format!(
        "PostgreSQL 16 is gone, which made {}: install it again: ",
        home.display()
    );
    assert!(error.starts_with(&gone), "{error}");
    let instead = "or remove the cluster with all its data: cargo xtask db-down --purge";
    assert!(error.ends_with(instead), "{error}");
    let removed = format!("removed {} with all data", home.display());
    assert_eq!(down(&sandbox.machine(), true).unwrap(), [removed]);
    assert!(!home.exists());
}

#[test]
fn a_home_that_cannot_be_looked_into_is_said() {
    let sandbox = Sandbox::bare();
    sandbox.stand_in_binaries("installed/17/bin", "17.5");
    let home = Cluster::of(&sandbox.machine()).home().to_owned();
    fs::create_dir_all(home.parent().unwrap()).unwrap();
    // Root may look into any folder.
    fs::write(&home, "").unwrap();
    let look = format!("look into {}: ", home.display());
    let kept = format!("nothing can be kept in {}: {look}", home.display());
    for (error, said) in [
        (start(&sandbox.machine()).unwrap_err(), kept),
        (down(&sandbox.machine(), true).unwrap_err(), look),
    ] {
        assert!(format!("{error:#}").starts_with(&said), "{error:#}");
    }
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
fn only_what_a_task_made_is_purged_and_all_of_that() {
    let sandbox = Sandbox::bare();
    let home = Cluster::of(&sandbox.machine()).home().to_owned();
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("precious"), "").unwrap();
    let further = Cluster::of_major(&sandbox.machine(), 17);
    fs::create_dir_all(further.home()).unwrap();
    fs::write(further.home().join("made-by-cargo-xtask"), "").unwrap();

    let error = down(&sandbox.machine(), true).unwrap_err().to_string();
    let removed = further.home().display();
    let said = format!(
        "{} wasn't made by `cargo xtask`: it stays as it is\nremoved {removed} with all data",
        home.display()
    );
    assert_eq!(error, said);
    assert!(home.join("precious").exists());
    assert!(!further.home().exists());
}
