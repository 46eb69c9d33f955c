//! The branches of a history, drawn beside its rows.

use checkpointer::{CheckpointId, CheckpointTuple};

/// Draws the branches of a history, the newest checkpoint first: one text for each checkpoint.
///
/// `*` is a checkpoint, `|` a branch that goes on below, and `*-'` a checkpoint from which the
/// branch on the right was forked.
pub(crate) fn drawings(history: &[CheckpointTuple]) -> Vec<String> {
    // The checkpoint that each branch goes on with.
    let mut branches: Vec<Option<&CheckpointId>> = Vec::new();
    let mut drawings = Vec::new();
    for tuple in history {
        let id = &tuple.address.checkpoint_id;
        let parent = tuple.parent_address.as_ref();
        let at = branch_of(id, &mut branches);
        drawings.push(draw(id, at, &branches));
        for branch in branches.iter_mut().filter(|next| **next == Some(id)) {
            *branch = None;
        }
        branches[at] = parent.map(|parent| &parent.checkpoint_id);
    }
    drawings
}

/// The branch that a checkpoint is on: the first that goes on with it, or a new one.
fn branch_of<'a>(id: &'a CheckpointId, branches: &mut Vec<Option<&'a CheckpointId>>) -> usize {
    let mut known = branches.iter();
    if let Some(at) = known.position(|next| *next == Some(id)) {
        return at;
    }
    let mut all = branches.iter();
    let at = (all.position(Option::is_none)).unwrap_or_else(|| {
        branches.push(None);
        branches.len() - 1
    });
    branches[at] = Some(id);
    at
}

fn draw(id: &CheckpointId, at: usize, branches: &[Option<&CheckpointId>]) -> String {
    let last = branches.iter().rposition(|next| *next == Some(id));
    let last = last.unwrap_or(at);
    let mut drawing = String::new();
    for (branch, next) in branches.iter().enumerate() {
        if branch > 0 {
            let is_joined = (at + 1..=last).contains(&branch);
            drawing.push(if is_joined { '-' } else { ' ' });
        }
        drawing.push(match next {
            _ if branch == at => '*',
            Some(next) if *next == id => '\'',
            Some(_) => '|',
            None if (at..last).contains(&branch) => '-',
            None => ' ',
        });
    }
    drawing.trim_end().to_owned()
}
