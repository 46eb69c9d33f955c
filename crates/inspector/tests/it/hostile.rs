//! Names, metadata, states and errors of others act on no terminal, whichever command prints them.

use std::fs;

use checkpointer::serde_json::{Value, from_str, json};
use checkpointer::{
    Checkpoint, CheckpointId, CheckpointNs, Checkpointer, Metadata, PostgresCheckpointer, Put,
    PutWrites, Source, TaskId, ThreadId,
};
use rig::{TestDb, package_folder};
use tokio::process::Command;

use crate::program::{Program, Ran, finished};

/// Clears the screen, names the window, colours, deletes, turns the direction, hides, and looks like a line
/// of its own.
const HOSTILE: &str =
    "a\u{1b}[2J\u{1b}]0;b\u{7}\u{9b}41m\u{7f}\u{202e}\u{2066}\u{200b}\u{feff}\u{e0041}\t\r\nforged";

/// The colours that the program has.
const COLOURS: [&str; 9] = [
    "\u{1b}[1m",
    "\u{1b}[2m",
    "\u{1b}[4m",
    "\u{1b}[31m",
    "\u{1b}[32m",
    "\u{1b}[33m",
    "\u{1b}[35m",
    "\u{1b}[36m",
    "\u{1b}[0m",
];

#[track_caller]
fn check(ran: &Ran, what: &str) {
    for printed in [&ran.stdout, &ran.stderr] {
        let printed =
            (COLOURS.iter()).fold(printed.clone(), |text, colour| text.replace(colour, ""));
        let raw = HOSTILE.chars().filter(|char| !char.is_ascii_graphic());
        for char in raw.filter(|char| *char != '\n') {
            assert!(!printed.contains(char), "{what}: {char:?} in {printed:?}");
        }
        let forged = printed.lines().find(|line| line.starts_with("forged"));
        assert_eq!(forged, None, "{what}: {printed:?}");
    }
}

/// Runs a command with colours, and for programs.
async fn run(program: &Program, args: &[&str]) -> [Ran; 2] {
    let mut coloured = program.command(args);
    coloured.env("CLICOLOR_FORCE", "1");
    let json = program.command(&[args, &["--json"]].concat());
    let run = async |mut command: Command| finished(command.spawn().unwrap()).await;
    let ran = tokio::join!(run(coloured), run(json));
    for ran in [&ran.0, &ran.1] {
        check(ran, &format!("{args:?}"));
    }
    ran.into()
}

/// Runs a command that shows a hostile name, in a way in which it can be told.
async fn shows(program: &Program, args: &[&str]) {
    for ran in run(program, args).await {
        let printed = ran.stdout + &ran.stderr;
        let shown = printed.contains(r"a\u{1b}[2J") || printed.contains(r"a\u001b[2J");
        assert!(shown, "{args:?}: {printed}");
    }
}

/// Puts checkpoints in which everything is hostile, after one another, with a subgraph's beside them.
async fn hostile_thread(checkpointer: &PostgresCheckpointer) {
    let thread = ThreadId::new(HOSTILE).unwrap();
    let root = CheckpointNs::ROOT;
    let inner = CheckpointNs::new(HOSTILE).unwrap();
    let mut parent = None;
    for (ns, number) in [(&root, 1), (&inner, 2), (&root, 3)] {
        let id = CheckpointId::new(format!("{HOSTILE}{number}")).unwrap();
        let mut checkpoint = Checkpoint::new(id.clone());
        checkpoint.ts = HOSTILE.to_owned();
        let text = format!("{HOSTILE} and then some words, of which one is {number}");
        let values = json!({ HOSTILE: { HOSTILE: text }, "messages": [{ HOSTILE: text }] });
        let changed = checkpoint.write(checkpointer, values.as_object().unwrap().clone());
        let metadata = Metadata::new(Source::Loop, number)
            .with("source", HOSTILE)
            .with("run_id", HOSTILE)
            .with("langgraph_node", HOSTILE)
            .with(HOSTILE, HOSTILE);
        let mut put = Put::new(&thread, &checkpoint, &metadata)
            .in_ns(ns)
            .new_versions(&changed);
        put.parent = parent.as_ref().filter(|_| ns.is_root());
        let address = checkpointer.put(put).await.unwrap();
        let task = TaskId::new(format!("{HOSTILE}{number}")).unwrap();
        let writes = ["__error__", "__interrupt__", HOSTILE]
            .map(|channel| (channel.to_owned(), json!({ HOSTILE: HOSTILE })));
        let put = PutWrites::new(&address, &task, &writes);
        checkpointer.put_writes(put).await.unwrap();
        if ns.is_root() {
            parent = Some(id);
        }
    }
    let metadata = json!({ HOSTILE: HOSTILE }).as_object().unwrap().clone();
    let set = checkpointer.update_thread_metadata(&thread, metadata).await;
    set.unwrap();
}

#[tokio::test]
async fn no_command_prints_anything_of_others_raw() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    hostile_thread(&checkpointer).await;
    let id = &format!("{HOSTILE}3");
    let member = &format!("{HOSTILE}={HOSTILE}");
    for args in [
        &["threads"][..],
        &["threads", "--sort", "size"],
        &["threads", "--metadata", member],
        &["history", HOSTILE],
        &["history", HOSTILE, "-n", "1", "--metadata", HOSTILE],
        &["history", HOSTILE, "--node", HOSTILE, "--changed", HOSTILE],
        &["show", HOSTILE],
        &["show", HOSTILE, "--full"],
        &["show", HOSTILE, "--ns", HOSTILE],
        &["show", HOSTILE, id, "--channel", HOSTILE],
        &["diff", HOSTILE],
        &["diff", HOSTILE, "head~1", "head", "--full"],
        &["writes"],
        &["writes", HOSTILE],
        &["size", HOSTILE],
        &["size", HOSTILE, "head"],
        &["label", HOSTILE],
        &["watch", HOSTILE, "--limit", "2"],
        &["export", HOSTILE],
    ] {
        shows(&program, args).await;
    }
    for args in [
        &["verify", HOSTILE][..],
        &["retain", HOSTILE, "--keep-last", "1"],
    ] {
        run(&program, args).await;
    }
}

#[tokio::test]
async fn no_question_and_no_error_has_anything_of_others_raw() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    hostile_thread(&checkpointer).await;
    let other = &format!("other {HOSTILE}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let file = file.to_str().unwrap();
    fs::write(file, json!({ HOSTILE: HOSTILE }).to_string()).unwrap();
    for args in [
        // What is asked before something is changed.
        &["delete", HOSTILE][..],
        &["copy", HOSTILE, other],
        &["label", HOSTILE, "a=b"],
        &["pin", HOSTILE, "head"],
        &["fork", HOSTILE, "head~1"],
        &["retain", HOSTILE, "--keep-last", "1", "--apply"],
        &["import", HOSTILE],
        // What isn't there, or there already.
        &["show", other],
        &["show", HOSTILE, other],
        &["show", HOSTILE, "--ns", other],
        &["show", HOSTILE, "--channel", "other"],
        &["history", other],
        &["size", other],
        &["delete", other, "--yes"],
        &["import", HOSTILE, "--yes"],
        &["export", HOSTILE, "--output", HOSTILE],
        &["import", "--langgraph", "--schema", HOSTILE, "--yes"],
        // What can't be understood.
        &["threads", "--since", HOSTILE],
        &["threads", "--metadata", HOSTILE],
        &["history", HOSTILE, "--step", HOSTILE],
        &["man", HOSTILE],
        &[HOSTILE],
    ] {
        if args[0] == "export" {
            // It can be made there, and must not be.
            fs::write(folder.path().join(HOSTILE), "").unwrap();
        }
        let mut command = program.command(args);
        command
            .current_dir(folder.path())
            .env("CLICOLOR_FORCE", "1");
        let ran = finished(command.spawn().unwrap()).await;
        check(&ran, &format!("{args:?}"));
        assert_ne!(ran.code, 0, "{args:?} {ran:?}");
        assert!(ran.stderr.contains(r"\u{1b}"), "{args:?} {ran:?}");
    }
    for args in [&["import", file, "--yes"][..], &["migrate", "check"]] {
        let mut command = program.command(args);
        command.env("DB_SCHEMA", HOSTILE);
        check(
            &finished(command.spawn().unwrap()).await,
            &format!("{args:?}"),
        );
    }
}

#[tokio::test]
async fn the_log_has_nothing_of_others_raw() {
    let program = Program::new().await;
    hostile_thread(&program.checkpointer().await).await;
    for args in [
        &["show", HOSTILE][..],
        &["label", HOSTILE, "a=b", "--yes"],
        &["delete", HOSTILE, "--yes"],
    ] {
        let mut command = program.command(args);
        command
            .env("RUST_LOG", "trace")
            .env("DB_APPLICATION_NAME", "x");
        let ran = finished(command.spawn().unwrap()).await;
        assert_eq!(ran.code, 0, "{args:?} {ran:?}");
        assert!(!ran.stderr.is_empty());
        check(&ran, &format!("{args:?}"));
    }
}

#[tokio::test]
async fn what_is_wrong_with_threads_is_reported_with_nothing_of_others_raw() {
    let program = Program::new().await;
    hostile_thread(&program.checkpointer().await).await;
    let observer = program.test.observer().await;
    let schema = program.test.schema();
    let sql = format!("DELETE FROM {schema}.heads");
    observer.batch_execute(&sql).await.unwrap();
    shows(&program, &["verify"]).await;

    let source = TestDb::new().await;
    let recorded = "../../tests/fixtures/langgraph/tables.sql";
    let recorded = package_folder().join(recorded);
    let sql = fs::read_to_string(recorded).unwrap();
    let sql = sql.replace("{schema}", source.schema());
    let source_observer = source.observer().await;
    source_observer.batch_execute(&sql).await.unwrap();
    let lost = format!(
        "INSERT INTO {}.checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata) \
         VALUES ($1, $1, $1, '[]', '{{}}')",
        source.schema()
    );
    let other = format!("other {HOSTILE}");
    source_observer.execute(&lost, &[&other]).await.unwrap();
    let args = [
        "import",
        "--langgraph",
        "--schema",
        source.schema(),
        "--yes",
    ];
    shows(&program, &args).await;
}

#[tokio::test]
async fn what_is_printed_for_programs_is_what_it_was() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    hostile_thread(&checkpointer).await;
    let threads = program.json(&["threads"]).await;
    assert_eq!(threads[0]["thread_id"], HOSTILE);
    assert_eq!(threads[0]["metadata"], json!({ HOSTILE: HOSTILE }));
    // An export that was printed is imported as it was.
    let printed = program.done(&["export", HOSTILE]).await;
    let first: Value = from_str(printed.lines().next().unwrap()).unwrap();
    assert!(first.to_string().contains("forged"), "{first}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("printed.jsonl");
    fs::write(&file, printed).unwrap();
    let file = file.to_str().unwrap();
    program
        .done(&["import", file, "--as", "copy", "--yes"])
        .await;
    let [original, copy] = [HOSTILE, "copy"].map(|thread| ThreadId::new(thread).unwrap());
    for ns in ["", HOSTILE] {
        let head = async |thread: &ThreadId| {
            let head = checkpointer::GetTuple::head(thread).unwrap();
            let head = head.in_ns(CheckpointNs::new(ns).unwrap());
            checkpointer.get_tuple(head).await.unwrap().unwrap()
        };
        let (original, copy) = (head(&original).await, head(&copy).await);
        assert_eq!(original.checkpoint, copy.checkpoint);
        assert_eq!(original.pending_writes, copy.pending_writes);
    }
}
