//! The program, and the threads that it looks into.

use std::process::Stdio;

use checkpointer::serde_json::{Value, from_str, json};
use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointNs, CheckpointTuple, Checkpointer, GetTuple, Metadata,
    PostgresCheckpointer, Put, PutWrites, Source, TaskId, ThreadId,
};
use db::Database;
use rig::TestDb;
use tokio::process::{Child, Command};

/// A schema of its own.
pub(crate) struct Program {
    pub(crate) test: TestDb,
}

/// What a run has come to.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// Makes the tables.
    pub(crate) async fn new() -> Self {
        let program = Self::without_tables().await;
        program.checkpointer().await;
        program
    }

    pub(crate) async fn without_tables() -> Self {
        Self {
            test: TestDb::without_schema().await,
        }
    }

    pub(crate) async fn database(&self) -> Database {
        self.test.connect(&[]).await
    }

    pub(crate) async fn checkpointer(&self) -> PostgresCheckpointer {
        PostgresCheckpointer::setup(self.database().await)
            .await
            .unwrap()
    }

    /// The program with these arguments, its input closed and its output captured.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_checkpointer"));
        command
            .args(args)
            .env("DB_SCHEMA", self.test.schema())
            // By which the server's list of connections is searched.
            .env("DB_APPLICATION_NAME", self.test.schema())
            .env_remove("CLICOLOR_FORCE")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Ran {
        finished(self.start(args)).await
    }

    /// Runs it while nobody reads what it prints.
    pub(crate) async fn unread(&self, args: &[&str]) -> Ran {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = self.command(args);
        command.stdout(Stdio::from(writer));
        finished(command.spawn().unwrap()).await
    }

    /// Runs it, which must succeed, and returns what it prints.
    pub(crate) async fn done(&self, args: &[&str]) -> String {
        let ran = self.run(args).await;
        assert_eq!((ran.code, &*ran.stderr), (0, ""), "{args:?} {ran:?}");
        ran.stdout
    }

    /// Runs it for programs, and parses each line.
    pub(crate) async fn json(&self, args: &[&str]) -> Vec<Value> {
        let args: Vec<_> = args.iter().copied().chain(["--json"]).collect();
        let stdout = self.done(&args).await;
        stdout.lines().map(|line| from_str(line).unwrap()).collect()
    }
}

pub(crate) async fn finished(child: Child) -> Ran {
    let output = child.wait_with_output().await.unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Sends a signal, such as `-INT`.
pub(crate) async fn signal(child: &Child, signal: &str) {
    let pid = child.id().unwrap().to_string();
    let status = Command::new("kill").args([signal, &pid]).status().await;
    assert!(status.unwrap().success());
}

/// A thread of three steps with a question at its end, and a subgraph that was called from the second.
pub(crate) async fn with_support_thread(checkpointer: &PostgresCheckpointer, thread: &str) {
    let thread = ThreadId::new(thread).unwrap();
    let root = CheckpointNs::ROOT;
    let messages = [
        json!(["Where is my order?"]),
        json!(["Where is my order?", "On its way."]),
    ];
    let first = put(
        checkpointer,
        &thread,
        &root,
        None,
        -1,
        json!({ "messages": messages[0] }),
    )
    .await;
    let second = put(
        checkpointer,
        &thread,
        &root,
        Some(&first),
        0,
        json!({ "plan": "look it up" }),
    )
    .await;
    let inner = CheckpointNs::new("research:task-1").unwrap();
    put(
        checkpointer,
        &thread,
        &inner,
        Some(&second),
        0,
        json!({ "found": true }),
    )
    .await;
    let head = put(
        checkpointer,
        &thread,
        &root,
        Some(&second),
        1,
        json!({ "messages": messages[1] }),
    )
    .await;
    let question = [("__interrupt__".to_owned(), json!("Refund the order?"))];
    let task = TaskId::new("ask").unwrap();
    let put = PutWrites::new(&head.address, &task, &question);
    checkpointer.put_writes(put).await.unwrap();
}

/// Puts a step after another one, or the first of a subgraph that was called from there.
async fn put(
    checkpointer: &PostgresCheckpointer,
    thread: &ThreadId,
    checkpoint_ns: &CheckpointNs,
    after: Option<&CheckpointTuple>,
    step: i64,
    values: Value,
) -> CheckpointTuple {
    let parent = after.filter(|after| after.address.checkpoint_ns == *checkpoint_ns);
    let mut checkpoint = match parent {
        Some(parent) => Checkpoint::child_of(parent),
        None => Checkpoint::new(checkpointer::CheckpointId::generate(None)),
    };
    let values = values.as_object().unwrap().clone();
    let changed = checkpoint.write(checkpointer, values);
    let mut metadata = Metadata::new(Source::Loop, step).with("run_id", "run-17");
    if let (None, Some(outer)) = (parent, after) {
        let id = outer.address.checkpoint_id.as_str();
        metadata = metadata.with("parents", json!({ "": id }));
    }
    let mut put = Put::new(thread, &checkpoint, &metadata)
        .in_ns(checkpoint_ns)
        .new_versions(&changed);
    put.parent = parent.map(|parent| &parent.address.checkpoint_id);
    let address = checkpointer.put(put).await.unwrap();
    read(checkpointer, &address).await
}

async fn read(checkpointer: &PostgresCheckpointer, address: &CheckpointAddress) -> CheckpointTuple {
    let tuple = checkpointer.get_tuple(GetTuple::at(address)).await;
    tuple.unwrap().unwrap()
}

/// The head of a thread's root graph, if there is one.
pub(crate) async fn head(
    checkpointer: &PostgresCheckpointer,
    thread: &str,
) -> Option<CheckpointTuple> {
    let head = GetTuple::head(thread).unwrap();
    checkpointer.get_tuple(head).await.unwrap()
}
