//! Commands on threads in memory, and the command line itself.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use checkpointer::channels::{INTERRUPT, RESUME};
use checkpointer::serde_json::{Value, from_str, json};
use checkpointer::{
    Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, Checkpointer, MemoryCheckpointer,
    Metadata, Put, PutWrites, Source, TaskId, ThreadId,
};
use clap::{CommandFactory, Parser};
use expect_test::{Expect, expect};

use super::exit::Outcome;
use super::output::{Output, ReaderGone};
use super::{Cli, Command, diff, fork, history, report, show, writes};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Runs a command line without its first word, and returns what it prints.
async fn run(checkpointer: &MemoryCheckpointer, line: &[&str]) -> anyhow::Result<String> {
    let words = ["checkpointer"].iter().chain(line);
    let cli = Cli::try_parse_from(words)?;
    let buffer = Buffer::default();
    let mut output = Output::buffer(cli.json, buffer.clone());
    match cli.command {
        Command::History(args) => history::run(checkpointer, &args, &mut output).await?,
        Command::Show(args) => show::run(checkpointer, &args, &mut output).await?,
        Command::Diff(args) => diff::run(checkpointer, &args, &mut output).await?,
        Command::Writes(args) => writes::run(checkpointer, &args, &mut output).await?,
        Command::Fork(args) => fork::run(checkpointer, &args, &mut output).await?,
        other => panic!("{other:?} isn't run here"),
    };
    let bytes = buffer.0.lock().unwrap().clone();
    Ok(String::from_utf8(bytes).unwrap())
}

async fn check(checkpointer: &MemoryCheckpointer, line: &[&str], expected: Expect) {
    expected.assert_eq(&run(checkpointer, line).await.unwrap());
}

/// Puts a checkpoint with these channels.
async fn put(
    checkpointer: &MemoryCheckpointer,
    id: &str,
    parent: Option<&str>,
    values: Value,
) -> CheckpointAddress {
    let thread_id = ThreadId::new("t").unwrap();
    let parent = parent.map(|parent| CheckpointId::new(parent).unwrap());
    let mut checkpoint = Checkpoint::new(CheckpointId::new(id).unwrap());
    checkpoint.ts = "2026-11-29T08:00:00Z".to_owned();
    for (channel, value) in values.as_object().unwrap() {
        checkpoint
            .channel_versions
            .insert(channel.clone(), 1.into());
        checkpoint
            .channel_values
            .insert(channel.clone(), value.clone());
    }
    let metadata = Metadata::new(Source::Loop, 1);
    let mut put = Put::new(&thread_id, &checkpoint, &metadata);
    put.parent = parent.as_ref();
    checkpointer.put(put).await.unwrap()
}

async fn put_write(
    checkpointer: &MemoryCheckpointer,
    at: &CheckpointAddress,
    task: &str,
    channel: &str,
    value: Value,
) {
    let task_id = TaskId::new(task).unwrap();
    let writes = [(channel.to_owned(), value)];
    let put = PutWrites::new(at, &task_id, &writes);
    checkpointer.put_writes(put).await.unwrap();
}

#[test]
fn the_options_are_consistent() {
    Cli::command().debug_assert();
}

#[tokio::test]
async fn a_history_is_drawn_with_its_forks() {
    let checkpointer = MemoryCheckpointer::new();
    for (id, parent) in [
        ("1", None),
        ("2", Some("1")),
        ("3", Some("2")),
        ("4", Some("1")),
        ("5", Some("2")),
    ] {
        put(&checkpointer, id, parent, json!({})).await;
    }
    let expected = expect![[r#"
        ●  5  head  2026-11-29T08:00:00Z  step 1  loop
        │ ●  4  2026-11-29T08:00:00Z  step 1  loop
        │ │ ●  3  2026-11-29T08:00:00Z  step 1  loop
        ●─┼─╯  2  2026-11-29T08:00:00Z  step 1  loop  2 branches
        ●─╯  1  2026-11-29T08:00:00Z  step 1  loop  2 branches
    "#]];
    check(&checkpointer, &["history", "t"], expected).await;
}

#[tokio::test]
async fn many_calls_of_one_subgraph_are_printed_at_once() {
    const CALLS: usize = 3_000;
    let checkpointer = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("t").unwrap();
    let research = CheckpointNs::new("research").unwrap();
    for n in 0..CALLS {
        let caller = put(&checkpointer, &format!("{n:05}"), None, json!({})).await;
        let parents = json!({ "": caller.checkpoint_id.as_str() });
        let metadata = Metadata::new(Source::Loop, 1).with("parents", parents);
        let id = CheckpointId::new(format!("{n:05}-inner")).unwrap();
        let checkpoint = Checkpoint::new(id);
        let inner = Put::new(&thread_id, &checkpoint, &metadata);
        checkpointer.put(inner.in_ns(&research)).await.unwrap();
    }
    let begun = Instant::now();
    let printed = run(&checkpointer, &["history", "t", "--limit", "0"]).await;
    let lines = printed.unwrap().lines().count();
    assert_eq!(lines, CALLS * 3);
    // With a copy of all for each call it took minutes.
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn what_is_hostile_in_a_state_is_shown_as_text() {
    let checkpointer = MemoryCheckpointer::new();
    let hostile = "a\u{1b}[2Jb\u{202e}c\u{9b}d\r\n";
    let at = put(
        &checkpointer,
        "\u{1b}1",
        None,
        json!({ hostile: { hostile: hostile } }),
    )
    .await;
    put_write(&checkpointer, &at, "\u{1b}task", hostile, json!(hostile)).await;
    put(
        &checkpointer,
        "\u{1b}2",
        Some("\u{1b}1"),
        json!({ hostile: hostile }),
    )
    .await;
    for line in [
        &["history", "t"][..],
        &["show", "t"],
        &["show", "t", "head~1", "--full"],
        &["diff", "t"],
        &["diff", "t", "head~1", "head"],
        &["writes", "t", "head~1"],
    ] {
        let shown = run(&checkpointer, line).await.unwrap();
        let hidden = shown.chars().find(|char| {
            *char != '\n' && (char.is_control() || ('\u{202a}'..='\u{202e}').contains(char))
        });
        assert_eq!(hidden, None, "{line:?} {shown}");
        assert!(shown.contains(r"\u{1b}"), "{line:?} {shown}");
    }
}

#[tokio::test]
async fn a_state_is_shown_with_its_pending_writes() {
    let checkpointer = MemoryCheckpointer::new();
    let at = put(
        &checkpointer,
        "1",
        None,
        json!({ "messages": ["Hello", { "id": 1 }] }),
    )
    .await;
    put_write(&checkpointer, &at, "ask", INTERRUPT, json!("Refund?")).await;
    let expected = expect![[r#"
        thread      t
        checkpoint  1
        made at     2026-11-29T08:00:00Z
        parents     {}
        source      "loop"
        step        1

        messages
          [
            "Hello",
            {
              "id": 1
            }
          ]

        task ask  waits
          question
            "Refund?"
    "#]];
    check(&checkpointer, &["show", "t"], expected).await;
}

#[tokio::test]
async fn a_channel_that_does_not_exist_is_no_empty_one() {
    let checkpointer = MemoryCheckpointer::new();
    put(&checkpointer, "1", None, json!({ "messages": [] })).await;
    let error = run(&checkpointer, &["show", "t", "-c", "mesages"])
        .await
        .unwrap_err();
    let expected = expect!["the checkpoint has no channel `mesages`; it has `messages`"];
    expected.assert_eq(&error.to_string());
}

#[tokio::test]
async fn a_large_value_is_cut_and_says_so() {
    let checkpointer = MemoryCheckpointer::new();
    let items: Vec<_> = (0..1_000).collect();
    put(
        &checkpointer,
        "1",
        None,
        json!({ "items": items, "text": "x".repeat(1_000) }),
    )
    .await;
    let shown = run(&checkpointer, &["show", "t"]).await.unwrap();
    assert!(
        shown.contains("… 982 more lines (--full shows all)"),
        "{shown}"
    );
    assert!(shown.contains("… 602 more characters"), "{shown}");
    let shown = run(&checkpointer, &["show", "t", "--full"]).await.unwrap();
    assert!(!shown.contains('…'), "{shown}");
}

#[tokio::test]
async fn a_diff_names_the_place_of_each_change() {
    let checkpointer = MemoryCheckpointer::new();
    let before = json!({
        "messages": [{ "id": "a", "text": "It was sent on Monday, I think, by mail." }],
        "old": 1,
        "count": 1,
    });
    let after = json!({
        "messages": [
            { "id": "a", "text": "It was sent on Tuesday, I think, by mail." },
            { "id": "b", "text": "Thank you." },
        ],
        "count": 2,
        "a b": { "new": true },
    });
    put(&checkpointer, "1", None, before).await;
    put(&checkpointer, "2", Some("1"), after).await;
    let expected = expect![[r#"
        --- 1  step 1
        +++ 2  step 1
        + a b: {"new":true}
        - count: 1
        + count: 2
        ~ messages[0].text: It was sent on [-Monday-]{+Tuesday+}, I think, by mail.
        + messages[1]: {"id":"b","text":"Thank you."}
        - old: 1
    "#]];
    check(&checkpointer, &["diff", "t"], expected).await;
    let expected = expect![[r#"
        --- 2  step 1
        +++ 2  step 1
        the states are equal
    "#]];
    check(&checkpointer, &["diff", "t", "2", "head"], expected).await;
}

#[tokio::test]
async fn those_who_wait_are_found_in_all_threads() {
    let checkpointer = MemoryCheckpointer::new();
    let at = put(&checkpointer, "1", None, json!({})).await;
    put_write(&checkpointer, &at, "ask", INTERRUPT, json!("Refund?")).await;
    put_write(&checkpointer, &at, "draft", "text", json!("Dear")).await;
    let expected = expect![[r#"
        thread t  checkpoint 1
        task ask  waits
          question
            "Refund?"
    "#]];
    check(&checkpointer, &["writes", "--waiting"], expected).await;
    put_write(&checkpointer, &at, "ask", RESUME, json!(["yes"])).await;
    let expected = expect![[r#"
        {"at":{"checkpoint_id":"1","checkpoint_ns":"","generation":1,"thread_id":"t"},"tasks":[{"answers":["yes"],"outputs":[],"question":"Refund?","state":"waits","task_id":"ask"},{"outputs":[{"channel":"text","value":"Dear"}],"state":"done","task_id":"draft"}]}
    "#]];
    check(&checkpointer, &["--json", "writes"], expected).await;
}

#[tokio::test]
async fn a_fork_goes_back_and_may_change_a_channel() {
    let checkpointer = MemoryCheckpointer::new();
    put(&checkpointer, "1", None, json!({ "a": 1, "b": 1 })).await;
    put(&checkpointer, "2", Some("1"), json!({ "a": 2, "b": 2 })).await;
    run(
        &checkpointer,
        &["fork", "t", "1", "--set", "b=[3]", "--yes"],
    )
    .await
    .unwrap();
    let head = run(&checkpointer, &["--json", "show", "t"]).await.unwrap();
    let head: Value = from_str(&head).unwrap();
    assert_eq!(
        head["checkpoint"]["channel_values"],
        json!({ "a": 1, "b": [3] })
    );
    assert_eq!(head["parent_checkpoint_id"], "1");
    assert_eq!(head["metadata"]["source"], "fork");
}

#[tokio::test]
async fn a_checkpoint_is_found_by_a_part_of_its_id() {
    let checkpointer = MemoryCheckpointer::new();
    for (id, parent) in [("abc", None), ("abd", Some("abc")), ("b", Some("abd"))] {
        put(&checkpointer, id, parent, json!({})).await;
    }
    for (given, found) in [
        ("abc", "abc"),
        ("bd", "abd"),
        ("head", "b"),
        ("head~2", "abc"),
        ("b", "b"),
    ] {
        let shown = run(&checkpointer, &["--json", "show", "t", given])
            .await
            .unwrap();
        let shown: Value = from_str(&shown).unwrap();
        assert_eq!(shown["checkpoint_id"], found);
    }
    for (given, problem) in [
        (
            "ab",
            "2 checkpoints of thread `t` begin or end with `ab`: give more of the id",
        ),
        ("x", "thread `t` has no checkpoint `x`"),
        (
            "head~3",
            "thread `t` has fewer than 3 checkpoints before its head",
        ),
        (
            "head~18446744073709551615",
            "thread `t` has fewer than 18446744073709551615 checkpoints before its head",
        ),
    ] {
        let error = run(&checkpointer, &["show", "t", given]).await.unwrap_err();
        assert_eq!(error.to_string(), problem);
    }
}

#[test]
fn only_the_reader_of_what_is_printed_may_go_unreported() {
    let gone = anyhow::Error::new(ReaderGone).context("printing");
    assert_eq!(report(&gone), Outcome::Done);
    // As where the database breaks the connection off.
    let broken = io::Error::from(io::ErrorKind::BrokenPipe);
    let broken = anyhow::Error::new(broken).context("failed to delete a thread");
    assert_eq!(report(&broken), Outcome::Failed);
}
