//! How rows become the writes of a task.

use super::*;
use crate::Serialized;

/// Rows of one task, by channel and index.
fn task(rows: &[(&str, i32)]) -> TaskWrites {
    let row = |(channel, idx): &(&str, i32)| WriteRow {
        checkpoint_ns: String::new(),
        checkpoint_id: "1".to_owned(),
        task_id: "task".to_owned(),
        idx: *idx,
        task_path: String::new(),
        channel: (*channel).to_owned(),
        value: Serialized::new("null", []),
    };
    TaskWrites(rows.iter().map(row).collect())
}

#[test]
fn a_task_has_the_longest_of_its_paths() {
    let mut task = task(&[("a", 0), ("b", 1), ("c", 2)]);
    task.0[1].task_path = "path".to_owned();
    assert_eq!(task.task_path(), "path");
}

#[test]
fn a_row_of_another_task_ends_the_one_before() {
    let mut writes = TaskWrites::default();
    let row = |checkpoint: &str| {
        let mut row = task(&[("a", 0)]).0.remove(0);
        row.checkpoint_id = checkpoint.to_owned();
        row
    };
    assert!(writes.add(row("1")).is_none());
    assert!(writes.add(row("1")).is_none());
    assert_eq!(writes.add(row("2")).unwrap().0.len(), 2);
    assert_eq!(writes.0.len(), 1);
}
