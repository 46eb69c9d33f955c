//! Histories of threads in memory.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use checkpointer::serde_json::json;
use checkpointer::{Checkpoint, MemoryCheckpointer, Metadata, Put, Source};
use expect_test::{Expect, expect};

use super::*;

/// Puts a checkpoint for each `(namespace, id, parent, enclosing checkpoint)`.
async fn put(puts: &[(&str, &str, Option<&str>, Option<&str>)]) -> MemoryCheckpointer {
    let checkpointer = MemoryCheckpointer::new();
    let thread_id = ThreadId::new("t").unwrap();
    for (checkpoint_ns, id, parent, within) in puts {
        let checkpoint = Checkpoint::new(CheckpointId::new(*id).unwrap());
        let mut metadata = Metadata::new(Source::Loop, 0);
        if let Some(within) = within {
            metadata = metadata.with("parents", json!({ "": within }));
        }
        let parent = parent.map(|parent| CheckpointId::new(parent).unwrap());
        let checkpoint_ns = CheckpointNs::new(*checkpoint_ns).unwrap();
        let mut put = Put::new(&thread_id, &checkpoint, &metadata).in_ns(checkpoint_ns);
        put.parent = parent.as_ref();
        checkpointer.put(put).await.unwrap();
    }
    checkpointer
}

/// Draws the lines of a history, each with its namespace.
fn draw(history: &History) -> String {
    let mut drawing = String::new();
    for line in &history.lines {
        drawing += &format!("{:?}\n", line.checkpoint_ns.as_str());
        for (node, row) in line.nodes.iter().zip(line.rows()) {
            let columns = row.passing.len().max(row.column + 1);
            let columns = (0..columns).map(|at| match at {
                _ if at == row.column => '*',
                _ if row.joining.contains(&at) => '/',
                _ if row.passing.get(at) == Some(&true) => '|',
                _ => ' ',
            });
            drawing.extend(columns);
            drawing += &format!(" {}", node.id());
            for (mark, is_set) in [
                ("head", node.is_head),
                ("root", node.parent_id().is_none()),
                ("parent missing", node.parent_missing),
            ] {
                if is_set {
                    drawing += &format!(", {mark}");
                }
            }
            if !node.subgraphs.is_empty() {
                drawing += &format!(", calls {:?}", node.subgraphs);
            }
            drawing.push('\n');
        }
    }
    drawing
}

async fn check(
    puts: &[(&str, &str, Option<&str>, Option<&str>)],
    limit: Option<usize>,
    expected: Expect,
) -> History {
    let checkpointer = put(puts).await;
    let mut query = HistoryQuery::new("t").unwrap();
    query.limit = limit;
    let history = History::read(&checkpointer, query).await.unwrap().unwrap();
    expected.assert_eq(&draw(&history));
    history
}

#[tokio::test]
async fn forks_are_columns_that_end_where_they_begin() {
    let puts = [
        ("", "1", None, None),
        ("", "2", Some("1"), None),
        ("", "3", Some("2"), None),
        ("", "4", Some("2"), None),
        ("", "5", Some("3"), None),
        ("", "6", Some("1"), None),
    ];
    let drawing = expect![[r#"
        ""
        * 6, head
        |* 5
        ||* 4
        |*| 3
        |*/ 2
        */ 1, root
    "#]];
    check(&puts, None, drawing).await;
}

#[tokio::test]
async fn a_head_is_what_was_put_last_whatever_its_id() {
    let puts = [
        ("", "5", None, None),
        ("", "9", Some("5"), None),
        ("", "7", Some("5"), None),
    ];
    let drawing = expect![[r#"
        ""
        * 9
        |* 7, head
        */ 5, root
    "#]];
    check(&puts, None, drawing).await;
}

#[tokio::test]
async fn a_child_stands_above_its_parent_though_its_id_is_smaller() {
    let puts = [
        ("", "b", None, None),
        ("", "a", Some("b"), None),
        ("", "c", None, None),
    ];
    let drawing = expect![[r#"
        ""
        * c, head, root
        * a
        * b, root
    "#]];
    check(&puts, None, drawing).await;
}

#[tokio::test]
async fn subgraphs_are_known_where_they_were_called() {
    let puts = [
        ("", "1", None, None),
        ("research:a", "2", None, Some("1")),
        ("research:a", "3", Some("2"), None),
        ("write:b", "4", None, Some("1")),
        ("", "5", Some("1"), None),
    ];
    let drawing = expect![[r#"
        ""
        * 5, head
        * 1, root, calls [CheckpointNs("research:a"), CheckpointNs("write:b")]
        "research:a"
        * 3, head
        * 2, root
        "write:b"
        * 4, head, root
    "#]];
    let history = check(&puts, None, drawing).await;
    let nodes = history.lines.iter().flat_map(|line| &line.nodes);
    let inside = nodes.filter(|node| node.within.is_some()).count();
    assert_eq!(inside, 3);
}

#[tokio::test]
async fn what_is_older_than_the_limit_is_a_missing_parent() {
    let puts = [
        ("", "1", None, None),
        ("", "2", Some("1"), None),
        ("", "3", Some("2"), None),
    ];
    let drawing = expect![[r#"
        ""
        * 3, head
        * 2, parent missing
    "#]];
    let history = check(&puts, Some(2), drawing).await;
    assert!(history.more);
}

#[tokio::test]
async fn checkpoints_that_are_each_others_parents_are_all_there() {
    let puts = [
        ("", "1", Some("2"), None),
        ("", "2", Some("1"), None),
        ("", "3", Some("3"), None),
    ];
    let drawing = expect![[r#"
        ""
        * 3, head
        * 2
        * 1
    "#]];
    check(&puts, None, drawing).await;
}

#[tokio::test]
async fn a_thread_without_checkpoints_has_no_history() {
    let query = HistoryQuery::new("t").unwrap();
    let none = History::read(&MemoryCheckpointer::new(), query).await;
    assert_eq!(none.unwrap(), None);
}
