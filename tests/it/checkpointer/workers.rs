//! The example `workers`: processes that share a queue, and are killed at random.

use std::collections::BTreeMap;
use std::env;
use std::process::Stdio;
use std::time::Duration;

use checkpointer::PostgresCheckpointer;
use db::Database;
use futures_util::future::join_all;
use rig::{TestDb, eventually, settings_for, url};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::sleep;
use workers::{Customer, Queue, Worker};

const NAME: &str = "checkpointer::workers::workers_that_are_killed_at_random_do_each_job_once";

/// Names the schema to a process that is a worker.
const SCHEMA: &str = "TEST_WORKERS_SCHEMA";

/// What begins a line that tells of a step.
const STEP: &str = "step ";

const WORKERS: u64 = 4;
const KILLS_OF_EACH: u32 = 3;
const THREADS: usize = 12;
const JOBS: usize = 72;

/// For how long a killed worker's thread is left alone.
const TTL: Duration = Duration::from_millis(500);

/// A process that works on the queue.
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts this program again, to run the same test as a worker.
    fn start(schema: &str) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([NAME, "--exact", "--nocapture"])
            .env(SCHEMA, schema)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits until it tells of its next step; false if it has ended.
    async fn step(&mut self) -> bool {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if line.starts_with(STEP) {
                return true;
            }
        }
        false
    }
}

/// What a worker does until it is killed.
async fn work(schema: &str) {
    let settings = settings_for(&url(), &[("DB_SCHEMA", schema), ("DB_POOL_MAX", "3")]);
    let database = Database::connect(&settings).await.unwrap();
    let worker = Worker {
        checkpointer: PostgresCheckpointer::open(database.clone()).await.unwrap(),
        queue: Queue::setup(database.clone()).await.unwrap(),
        database,
        ttl: TTL,
    };
    #[expect(clippy::print_stdout, reason = "the parent reads it")]
    let tell = |job: &workers::Job, event| println!("{STEP}{}: {event:?}", job.id);
    worker.run(tell).await.unwrap();
}

/// Kills workers, one after the other, each somewhere in its first steps. The last one stays.
async fn kill_workers(schema: &str, seed: u64) -> Process {
    let mut rng = fastrand::Rng::with_seed(seed);
    for _ in 0..KILLS_OF_EACH {
        let mut process = Process::start(schema);
        for _ in 0..rng.u32(1..=5) {
            assert!(process.step().await, "a worker ended by itself");
        }
        // Nothing waits for this: it chooses where in the next step the worker is killed.
        sleep(Duration::from_micros(rng.u64(0..3_000))).await;
        process.child.kill().await.unwrap();
    }
    Process::start(schema)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_killed_at_random_do_each_job_once() {
    if let Ok(schema) = env::var(SCHEMA) {
        return work(&schema).await;
    }
    let test = TestDb::new().await;
    let database = test.connect(&[]).await;
    let checkpointer = PostgresCheckpointer::setup(database.clone()).await.unwrap();
    let queue = Queue::setup(database.clone()).await.unwrap();
    let mut questions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 0..JOBS {
        let (thread_id, question) = (
            format!("customer-{}", number % THREADS),
            format!("{number}"),
        );
        queue.add(&thread_id, &question).await.unwrap();
        questions.entry(thread_id).or_default().push(question);
    }

    let killing = (0..WORKERS).map(|seed| kill_workers(test.schema(), seed));
    let survivors = join_all(killing).await;
    eventually("all jobs are done", async || {
        queue.open().await.unwrap() == 0
    })
    .await;
    drop(survivors);

    // No answer was sent twice, and none is missing.
    let observer = test.observer().await;
    let counts = format!(
        "SELECT job_id, count(*) FROM {}.answers GROUP BY job_id ORDER BY job_id",
        test.schema()
    );
    let counts = observer.query(&counts, &[]).await.unwrap();
    let counts: Vec<(i64, i64)> = (counts.iter())
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    let once: Vec<(i64, i64)> = (1..=JOBS as i64).map(|job| (job, 1)).collect();
    assert_eq!(counts, once);

    // Each thread has its questions in their order, each with its answer.
    for (thread_id, questions) in questions {
        let mut thread = checkpointer.thread::<Customer>(&thread_id).unwrap();
        let state = thread.load().await.unwrap().unwrap();
        let asked: Vec<&String> = state.said.iter().step_by(2).collect();
        assert_eq!(asked, questions.iter().collect::<Vec<_>>(), "{thread_id}");
        let answers = state.said.iter().skip(1).step_by(2);
        for (answer, question) in answers.zip(&questions) {
            assert!(
                answer.starts_with(&format!("About {question}:")),
                "{answer}"
            );
        }
        assert!(
            state.draft.is_none(),
            "{thread_id} has an answer that wasn't sent"
        );
    }
}
