//! `export` and `import`.

use std::fs;
use std::process::Stdio;

use checkpointer::{Checkpointer, ThreadId};
use rig::eventually;
use tokio::io::AsyncWriteExt;

use crate::program::{Program, finished, head, signal, with_support_thread};

#[tokio::test]
async fn a_thread_goes_to_a_file_and_comes_back_under_another_id() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("support-4711.jsonl");
    let file = file.to_str().unwrap();

    program
        .done(&["export", "support-4711", "--output", file])
        .await;
    let printed = program.done(&["export", "support-4711"]).await;
    assert_eq!(fs::read_to_string(file).unwrap(), printed);
    let ran = program
        .run(&["export", "support-4711", "--output", file])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");

    assert_eq!(program.run(&["import", file, "--as", "copy"]).await.code, 6);
    let imported = program
        .json(&["import", file, "--as", "copy", "--yes"])
        .await;
    assert_eq!(imported[0]["checkpoints"], 4);
    assert_eq!(imported[0]["writes"], 1);
    let before = head(&checkpointer, "support-4711").await.unwrap();
    let after = head(&checkpointer, "copy").await.unwrap();
    assert_eq!(after.checkpoint, before.checkpoint);
    assert_eq!(after.pending_writes, before.pending_writes);

    let again = program
        .run(&["import", file, "--as", "copy", "--yes"])
        .await;
    assert_eq!(again.code, 4, "{again:?}");
}

#[tokio::test]
async fn an_export_that_fails_leaves_no_file() {
    let program = Program::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("another.jsonl");
    let args = ["export", "another", "--output", file.to_str().unwrap()];
    assert_eq!(program.run(&args).await.code, 3);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_to_its_end_leaves_no_part_of_a_thread() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let lines = program.done(&["export", "support-4711"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("support-4711.jsonl");
    // The last checkpoint's line.
    let mut damaged = lines.clone().into_bytes();
    let at = lines.rfind("{\"checkpoint\"").unwrap();
    damaged[at] = 0xff;
    fs::write(&file, damaged).unwrap();

    let path = file.to_str().unwrap();
    let args = ["import", path, "--as", "copy", "--yes"];
    let ran = program.run(&args).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let named = format!("line 5 of `{path}` can't be read");
    assert!(ran.stderr.contains(&named), "{ran:?}");
    let copy = ThreadId::new("copy").unwrap();
    assert_eq!(checkpointer.thread_info(&copy).await.unwrap(), None);
    fs::write(&file, lines).unwrap();
    program.done(&args).await;
}

#[tokio::test]
async fn an_import_that_is_interrupted_leaves_no_part_of_a_thread() {
    let program = Program::new().await;
    let checkpointer = program.checkpointer().await;
    with_support_thread(&checkpointer, "support-4711").await;
    let lines = program.done(&["export", "support-4711"]).await;
    let (without_end, _) = lines.trim_end().rsplit_once('\n').unwrap();

    let mut command = program.command(&["import", "-", "--as", "copy", "--yes"]);
    let mut import = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = import.stdin.take().unwrap();
    stdin.write_all(without_end.as_bytes()).await.unwrap();
    stdin.write_all(b"\n").await.unwrap();
    stdin.flush().await.unwrap();
    eventually("a part of the thread is there", async || {
        head(&checkpointer, "copy").await.is_some()
    })
    .await;
    signal(&import, "-INT").await;
    let ran = finished(import).await;
    assert_eq!((ran.code, &*ran.stderr), (130, ""));
    let copy = ThreadId::new("copy").unwrap();
    assert_eq!(checkpointer.thread_info(&copy).await.unwrap(), None);
}
