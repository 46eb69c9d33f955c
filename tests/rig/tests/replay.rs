//! Traces against the checkpointer in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File};
use std::io::BufReader;

use anyhow::Result;
use checkpointer::MemoryCheckpointer;
use expect_test::{Expect, expect};
use rig::{Report, package_folder, replay};

async fn replay_text(trace: &str) -> Result<Report> {
    replay(&MemoryCheckpointer::new(), trace.as_bytes()).await
}

/// A trace of two puts and the questions `ask`.
fn trace(ask: &str) -> String {
    let mut lines = String::new();
    for (parent, id, n) in [("", "1", "1"), ("1", "2", "1.0")] {
        let put = format!(
            r#"{{"op": "put", "config": {{"thread_id": "t", "checkpoint_id": "{parent}"}},
            "checkpoint": {{"v": 4, "id": "{id}", "ts": "now", "channel_values": {{"n": {n}}},
            "channel_versions": {{"n": {id}}}, "versions_seen": {{}}, "updated_channels": null}},
            "metadata": {{"step": {id}}}, "new_versions": {{"n": {id}}},
            "expect": {{"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "{id}"}}}}"#
        );
        lines.push_str(&put.replace('\n', " "));
        lines.push('\n');
    }
    lines + ask
}

async fn check(ask: &str, shown: Expect) {
    let shown_by = match replay_text(&trace(ask)).await {
        Ok(report) => match &report.first {
            Some(first) => format!("{report}\n{first}"),
            None => report.to_string(),
        },
        Err(error) => format!("{error:#}"),
    };
    shown.assert_eq(&shown_by);
}

#[tokio::test]
async fn the_recorded_traces_agree() {
    let traces = package_folder().join("../traces");
    let mut count = 0;
    for entry in fs::read_dir(traces).unwrap() {
        let path = entry.unwrap().path();
        let file = BufReader::new(File::open(&path).unwrap());
        let report = replay(&MemoryCheckpointer::new(), file).await.unwrap();
        assert!(report.agrees(), "{}: {report:#?}", path.display());
        count += 1;
    }
    assert_eq!(count, 8);
}

#[tokio::test]
async fn an_answer_that_agrees_is_counted() {
    let ask = r#"{"op": "get_tuple", "config": {"thread_id": "t"}, "expect": {
        "config": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "2"},
        "checkpoint": {"v": 4, "id": "2", "ts": "now", "channel_values": {"n": 1},
            "channel_versions": {"n": 2}, "versions_seen": {}, "updated_channels": null},
        "metadata": {"step": 2}, "pending_writes": [],
        "parent_config": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "1"}}}"#;
    check(
        &ask.replace('\n', " "),
        expect!["all 3 calls agree (1 get_tuple, 2 put)"],
    )
    .await;
}

#[tokio::test]
async fn the_first_difference_is_shown_and_the_others_are_counted() {
    let get = r#"{"op": "get_tuple", "config": {"thread_id": "t", "checkpoint_id": "1"}, "expect":
        {"config": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "1"}}}"#;
    let list = r#"{"op": "list", "config": null, "limit": 0, "expect": [null]}"#;
    check(
        &format!("{}\n\n{list}", get.replace('\n', " ")),
        expect![[r#"
            2 of 4 calls differ (1 get_tuple, 1 list, 2 put)
            line 3, get_tuple: not the recorded answer
            at       checkpoint
            expected nothing
            got      {"channel_values":{"n":1},"channel_versions":{"n":1},"id":"1","ts":"now","updated_channels":null,"v":4,"versions_seen":{}}"#]],
    )
    .await;
}

#[tokio::test]
async fn a_call_that_fails_ends_the_replay() {
    let delete = r#"{"op": "delete_thread", "thread_id": "t"}"#;
    let write = r#"{"op": "put_writes", "config": {"thread_id": "t", "checkpoint_id": "2"},
        "writes": [["a", 1]], "task_id": "task", "task_path": ""}"#;
    check(
        &format!("{delete}\n{}\n{delete}", write.replace('\n', " ")),
        expect![[r#"
            1 of 4 calls differ (1 delete_thread, 2 put, 1 put_writes)
            line 4, put_writes: failed: thread `t` was deleted; only a first checkpoint starts it again"#]],
    )
    .await;
}

#[tokio::test]
async fn special_writes_of_a_mixed_call_replace_by_design() {
    let write = |writes: &str| {
        format!(
            r#"{{"op": "put_writes", "config": {{"thread_id": "t", "checkpoint_id": "2"}}, "writes": {writes}, "task_id": "task", "task_path": ""}}"#
        )
    };
    let expected = |resume: &str| {
        let get = r#"{"op": "get_tuple", "config": {"thread_id": "t"}, "expect": {
        "config": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "2"},
        "checkpoint": {"v": 4, "id": "2", "ts": "now", "channel_values": {"n": 1},
            "channel_versions": {"n": 2}, "versions_seen": {}, "updated_channels": null},
        "metadata": {"step": 2},
        "pending_writes": [["task", "__resume__", RESUME], ["task", "a", 1]],
        "parent_config": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "1"}}}"#;
        get.replace('\n', " ").replace("RESUME", resume)
    };
    let first = write(r#"[["__resume__", [1]]]"#);
    let mixed = write(r#"[["__resume__", [1, 2]], ["a", 1]]"#);
    check(
        &format!("{first}\n{mixed}\n{}", expected("[1]")),
        expect!["all 5 calls agree (1 get_tuple, 2 put, 2 put_writes); 1 by design: special writes of a mixed call replace"],
    )
    .await;
    check(
        &format!("{first}\n{mixed}\n{}", expected("[3]")),
        expect![[r#"
            1 of 5 calls differ (1 get_tuple, 2 put, 2 put_writes)
            line 5, get_tuple: not the recorded answer
            at       pending_writes[0][2][0]
            expected 3
            got      1"#]],
    )
    .await;
}

#[tokio::test]
async fn a_line_that_is_no_call_is_an_error() {
    check(
        "{",
        expect!["line 3 can't be understood: EOF while parsing an object at line 1 column 1"],
    )
    .await;
    check("{}", expect!["line 3 has the unknown op `null`"]).await;
    check(
        r#"{"op": "drop"}"#,
        expect!["line 3 has the unknown op `drop`"],
    )
    .await;
    check(
        r#"{"op": "delete_thread"}"#,
        expect!["line 3 can't be understood: missing field `thread_id`"],
    )
    .await;
    check(
        r#"{"op": "delete_thread", "thread_id": "t", "softly": true}"#,
        expect![
            "line 3 can't be understood: unknown field `softly`, expected `thread_id` or `expect`"
        ],
    )
    .await;
    check(
        r#"{"op": "prune", "thread_ids": ["t"], "strategy": "half"}"#,
        expect![
            "line 3 can't be understood: unknown variant `half`, expected `keep_latest` or `delete`"
        ],
    )
    .await;
    check(
        r#"{"op": "get_tuple", "config": {"thread_id": ""}, "expect": null}"#,
        expect!["line 3 can't be asked of a checkpointer: the thread_id is empty"],
    )
    .await;
}
