//! What a task has asked, and what a person has seen of it who answers.

use checkpointer::serde_json::json;

use crate::TaskWrites;

/// A task's question and its answers so far, as one word; none if it asks nothing. A form carries it, so that it
/// answers what the person has seen, and that once.
pub(super) fn seen(task: &TaskWrites<'_>) -> Option<String> {
    let question = task.question.filter(|_| task.outputs.is_empty())?;
    let seen = json!([question, task.answers]).to_string();
    Some(blake3::hash(seen.as_bytes()).to_hex().to_string())
}
