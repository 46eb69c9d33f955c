//! Programs and servers that crash under load, and what is stored afterwards.

use std::env;
use std::process::Command;

use rig::{Crashes, PrivateServer, Victim, Worker};

/// Starts this program again to run one test, which then is the worker.
pub(super) fn this_test(name: &str) -> impl Fn() -> Command {
    move || {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args([name, "--exact", "--nocapture"]);
        command
    }
}

async fn check(name: &str, crashes: Crashes) {
    if let Some(worker) = Worker::from_env().unwrap() {
        return worker.run().await.unwrap();
    }
    let server = PrivateServer::start(&[]).await.unwrap();
    let figures = crashes.run(&server, this_test(name), |_| {}).await.unwrap();
    assert_eq!(figures.violations, [""; 0]);
    assert_eq!(figures.crashes, crashes.crashes);
    assert!(figures.puts > 0 && figures.checks > 0, "{figures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_killed_under_load_loses_and_repeats_nothing() {
    let crashes = Crashes {
        victim: Victim::Worker,
        crashes: 10,
        agents: 4,
        steps: 20,
        seed: 1,
    };
    let name = "crash::a_program_killed_under_load_loses_and_repeats_nothing";
    check(name, crashes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_under_load_keeps_what_was_acknowledged() {
    let crashes = Crashes {
        victim: Victim::Server,
        crashes: 3,
        agents: 4,
        steps: 20,
        seed: 2,
    };
    let name = "crash::a_server_that_crashes_under_load_keeps_what_was_acknowledged";
    check(name, crashes).await;
}
