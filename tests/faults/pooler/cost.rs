//! What a call costs the server behind a pooler, beside a direct connection.
//!
//! With `--no-capture`, the test prints the figures of `docs/performance.md`.

use std::fs;
use std::ops::Range;

use checkpointer::{
    CheckpointAddress, Checkpointer as _, GetTuple, PostgresCheckpointer, PutWrites, TaskId, Thread,
};
use db::{Database, GenericClient, Statement};
use rig::{PgBouncer, PrivateServer, Release, settings_for};
use serde_json::json;

use super::{PATIENT, TRANSACTION};

const BLOCKS: usize = 25;
const CALLS: usize = 20;

/// How often so many blocks are measured at most. What others do on the machine may make a call seem dearer
/// than the goal, and is past by then.
const ROUNDS: usize = 3;

/// What a call may cost behind a pooler, in hundredths of what it costs on a direct connection.
const GOAL: u64 = 115;

const CALLED: [&str; 3] = ["put", "put_writes", "get_tuple"];

static PID: Statement = Statement::new("SELECT pg_backend_pid()", &[]);

/// One way to the server: it has a single connection there.
struct Way {
    name: &'static str,
    thread: Thread<Vec<String>>,
    state: Vec<String>,
    head: CheckpointAddress,
    checkpointer: PostgresCheckpointer,
    process: i32,
    /// Nanoseconds of the server's process for a call, by block.
    taken: [Vec<u64>; 3],
}

impl Way {
    async fn open(name: &'static str, url: &str, mode: (&str, &str)) -> Self {
        let own = [mode, ("DB_POOL_MAX", "1")];
        let variables: Vec<_> = PATIENT.iter().chain(&own).copied().collect();
        let database = Database::connect(&settings_for(url, &variables)).await;
        let database = database.unwrap();
        let process = database.get().await.unwrap().query_one(&PID, &[]).await;
        let process = process.unwrap().get(0);
        let checkpointer = PostgresCheckpointer::setup(database).await.unwrap();
        let mut thread = checkpointer.thread::<Vec<String>>(name).unwrap();
        let state: Vec<_> = (0..20)
            .map(|n| format!("message {n} of a few words"))
            .collect();
        let head = thread.save(&state).await.unwrap();
        Self {
            name,
            thread,
            state,
            head,
            checkpointer,
            process,
            taken: Default::default(),
        }
    }

    async fn call(&mut self, which: usize, number: usize) {
        match CALLED[which] {
            "put" => {
                self.state.rotate_left(1);
                self.state[0] = format!("message {number} of a few more words");
                self.head = self.thread.save(&self.state).await.unwrap();
            }
            "put_writes" => {
                let task_id = TaskId::new(number.to_string()).unwrap();
                let writes = [("written".to_owned(), json!(number))];
                let writes = PutWrites::new(&self.head, &task_id, &writes);
                self.checkpointer.put_writes(writes).await.unwrap();
            }
            _ => {
                let head = GetTuple::head(self.thread.thread_id()).unwrap();
                self.checkpointer.get_tuple(head).await.unwrap().unwrap();
            }
        }
    }

    async fn block(&mut self, which: usize, block: usize) {
        let before = self.processor_time();
        for call in 0..CALLS {
            self.call(which, block * CALLS + call).await;
        }
        let taken = self.processor_time() - before;
        self.taken[which].push(taken / CALLS as u64);
    }

    /// How long the server's process was on a processor, in nanoseconds.
    fn processor_time(&self) -> u64 {
        let process = self.process;
        let figures = fs::read_to_string(format!("/proc/{process}/schedstat")).unwrap();
        let first = figures.split_whitespace().next().unwrap();
        first.parse().unwrap()
    }

    /// The tenth percentile: what others do on the machine makes calls dearer, never cheaper.
    fn cost(&self, which: usize) -> u64 {
        let mut taken = self.taken[which].clone();
        taken.sort_unstable();
        taken[taken.len() / 10]
    }
}

async fn measure(ways: &mut [Way; 3], blocks: Range<usize>) {
    for block in blocks {
        for which in 0..CALLED.len() {
            for way in &mut *ways {
                way.block(which, block).await;
            }
        }
    }
}

fn meets_goal(ways: &[Way; 3], which: usize) -> bool {
    let [direct, new, _] = ways;
    new.cost(which) * 100 <= direct.cost(which) * GOAL
}

#[expect(clippy::print_stdout, reason = "the figures are for people")]
fn print(ways: &[Way; 3]) {
    for (which, call) in CALLED.iter().enumerate() {
        let direct = ways[0].cost(which);
        for way in ways {
            let (name, cost) = (way.name, way.cost(which));
            let ratio = cost as f64 / direct as f64;
            println!("{call}, {name}: {} µs, {ratio:.2} times", cost / 1000);
        }
    }
}

mod new {
    use super::*;

    #[tokio::test]
    async fn a_call_costs_the_server_hardly_more_than_on_a_direct_connection() {
        let server = PrivateServer::start(&[]).await.unwrap();
        let one = [("default_pool_size", "1")];
        let new = PgBouncer::before(server.port(), Release::New, &one).await;
        let old = PgBouncer::before(server.port(), Release::Old, &one).await;
        let (new, old) = (new.unwrap(), old.unwrap());
        let session = ("DB_POOL_MODE", "session");
        let mut ways = [
            Way::open("direct", &server.url(), session).await,
            Way::open("new pooler", &new.url(), TRANSACTION).await,
            Way::open("old pooler", &old.url(), TRANSACTION).await,
        ];
        // The first block warms up: plans become generic after five calls.
        measure(&mut ways, 0..1).await;
        for way in &mut ways {
            way.taken = Default::default();
        }
        for first in (1..).step_by(BLOCKS).take(ROUNDS) {
            measure(&mut ways, first..first + BLOCKS).await;
            if (0..CALLED.len()).all(|which| meets_goal(&ways, which)) {
                break;
            }
        }
        print(&ways);
        for (which, call) in CALLED.iter().enumerate() {
            let [direct, new, old] = [0, 1, 2].map(|way: usize| ways[way].cost(which));
            assert!(meets_goal(&ways, which), "{call}: {new} after {direct}");
            // Unprepared it is twice as much, and more.
            assert!(new < old, "{call}: {new} after {old}");
        }
    }
}
