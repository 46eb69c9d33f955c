//! How the history of a namespace is drawn: a dot for each checkpoint, and lines to the parents.

use std::collections::HashSet;

use checkpointer::CheckpointId;

use super::{Line, Node};

/// How one checkpoint is drawn: in a row of columns, of which one has the checkpoint's dot.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The column of the dot.
    pub column: usize,
    /// For each column, whether the line of another checkpoint passes.
    pub passing: Vec<bool>,
    /// The columns whose lines end at the dot: those of the other checkpoints that follow it.
    pub joining: Vec<usize>,
    /// Whether a line leads from the dot down to its parent.
    pub continues: bool,
}

impl Line {
    /// Says how to draw the nodes: one row for each, in the same order.
    pub fn rows(&self) -> Vec<Row> {
        Row::of(&self.nodes.iter().collect::<Vec<_>>())
    }
}

impl Row {
    /// Says how to draw some nodes of a namespace, in the order of its line: one row for each.
    pub fn of(nodes: &[&Node]) -> Vec<Self> {
        let mut below: HashSet<&CheckpointId> = nodes.iter().map(|node| node.id()).collect();
        // For each column, the checkpoint that its line leads to.
        let mut columns: Vec<Option<&CheckpointId>> = Vec::new();
        let rows = nodes.iter().map(|node| {
            below.remove(node.id());
            let parent = node.parent_id().filter(|parent| below.contains(parent));
            row(&mut columns, node.id(), parent)
        });
        rows.collect()
    }
}

fn row<'a>(
    columns: &mut Vec<Option<&'a CheckpointId>>,
    id: &CheckpointId,
    parent: Option<&'a CheckpointId>,
) -> Row {
    let mut arriving = (0..columns.len()).filter(|at| columns[*at] == Some(id));
    let first = arriving.next();
    let joining: Vec<usize> = arriving.collect();
    let column = first.unwrap_or_else(|| free(columns));
    for at in &joining {
        columns[*at] = None;
    }
    columns[column] = None;
    let passing = columns.iter().map(Option::is_some).collect();
    columns[column] = parent;
    while columns.last().is_some_and(Option::is_none) {
        columns.pop();
    }
    Row {
        column,
        passing,
        joining,
        continues: parent.is_some(),
    }
}

/// A column without a line.
fn free(columns: &mut Vec<Option<&CheckpointId>>) -> usize {
    match columns.iter().position(Option::is_none) {
        Some(at) => at,
        None => {
            columns.push(None);
            columns.len() - 1
        }
    }
}
