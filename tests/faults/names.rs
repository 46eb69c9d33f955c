//! A server's name that has no address for a while, as that of a service without a ready instance.
//!
//! The program that uses the name has mounts of its own, in which a file of the test stands in the place of
//! `/etc/hosts`, and the system's resolver looks nowhere else.

use std::env;
use std::process::Command;
use std::time::Duration;

use rig::{Checker, Event, Fact, Job, Ledger, Plan, PrivateServer, Process, Worker};
use tokio::time::timeout;

const NAME: &str = "the-server.test";

/// What the program is called on the server.
const PROGRAM: &str = "looks-up";

/// Longer than a program that starts waits for a name.
const LONG: Duration = Duration::from_secs(6);

/// Long enough for a program to look up a name, and shorter than it waits for one when it starts.
const SHORT: Duration = Duration::from_secs(1);

/// A server, and the file that gives it a name.
struct Named {
    server: PrivateServer,
    checker: Checker,
    plans: Vec<Plan>,
    ledger: Ledger,
}

impl Named {
    async fn start() -> Self {
        let server = PrivateServer::start(&[]).await.unwrap();
        let settings = rig::settings_for(&server.url(), &[]);
        let database = db::Database::connect(&settings).await.unwrap();
        let plan = |agent| Plan {
            seed: 1,
            agent,
            steps: 20,
        };
        Self {
            server,
            checker: Checker::setup(database).await.unwrap(),
            plans: (0..3).map(plan).collect(),
            ledger: Ledger::default(),
        }
    }

    /// Gives the name an address, or takes it away.
    fn set_known(&self, known: bool) {
        let hosts = match known {
            true => format!("127.0.0.1 {NAME}\n"),
            false => String::new(),
        };
        self.server.workspace().write("hosts", hosts).unwrap();
    }

    /// Starts this program again to run one test, which then is the worker.
    fn worker(&self, test: &str) -> Process {
        let workspace = self.server.workspace();
        workspace.write("nsswitch", "hosts: files\n").unwrap();
        let mount = "mount --bind hosts /etc/hosts && mount --bind nsswitch /etc/nsswitch.conf \
             && exec \"$0\" \"$@\"";
        let mut command = Command::new("unshare");
        command.args(rig::unshare_options());
        command.args(["sh", "-c", mount]);
        command.arg(env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]);
        command.current_dir(workspace.path());
        let worker = Worker {
            url: format!("postgres://postgres@{NAME}:{}/postgres", self.server.port()),
            name: PROGRAM.to_owned(),
            pool: 3,
            job: Job::Agents(self.plans.iter().map(|plan| (*plan, false)).collect()),
        };
        Process::start(command, &worker).unwrap()
    }

    async fn next(&mut self, worker: &mut Process) {
        let fact = worker.next().await.unwrap();
        let fact = fact.expect(
            "the program has ended: without a right to mounts of its own, leave this test out by \
             `cargo xtask test --without mounts`",
        );
        self.note(fact);
    }

    fn note(&mut self, fact: Fact) {
        let failed = matches!(&fact.event, Event::Interrupted(_) | Event::Gone);
        assert!(!failed, "{fact}");
        self.ledger.note(fact);
    }

    /// Ends the program's connections until nothing has happened in it for long.
    async fn cut_off(&mut self, worker: &mut Process) {
        let killer = rig::client(&self.server.url()).await.unwrap();
        let kill =
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        loop {
            killer.execute(kill, &[&PROGRAM]).await.unwrap();
            if timeout(LONG, self.next(worker)).await.is_err() {
                return;
            }
        }
    }

    /// Waits until the agents have finished, and checks what is stored.
    async fn finish(mut self, mut worker: Process) {
        while let Some(fact) = worker.next().await.unwrap() {
            self.note(fact);
        }
        assert!(worker.end().await.unwrap());
        assert_eq!(self.ledger.take_violations(), [""; 0]);
        for plan in &self.plans {
            let life = self.ledger.life(plan.agent);
            assert!(life.is_finished());
            assert_eq!(self.checker.agent(plan, &life).await.unwrap(), [""; 0]);
        }
    }
}

#[tokio::test]
async fn no_write_fails_though_the_servers_name_is_gone_for_a_while() {
    if let Some(worker) = Worker::from_env().unwrap() {
        return worker.run().await.unwrap();
    }
    let mut named = Named::start().await;
    named.set_known(true);
    let mut worker =
        named.worker("names::no_write_fails_though_the_servers_name_is_gone_for_a_while");
    // All agents are at work.
    for _ in 0..20 {
        named.next(&mut worker).await;
    }
    named.set_known(false);
    named.cut_off(&mut worker).await;
    named.set_known(true);
    named.finish(worker).await;
}

#[tokio::test]
async fn a_program_waits_when_it_starts_for_the_servers_name() {
    if let Some(worker) = Worker::from_env().unwrap() {
        return worker.run().await.unwrap();
    }
    let mut named = Named::start().await;
    named.set_known(false);
    let mut worker = named.worker("names::a_program_waits_when_it_starts_for_the_servers_name");
    timeout(SHORT, named.next(&mut worker)).await.unwrap_err();
    named.set_known(true);
    named.finish(worker).await;
}
