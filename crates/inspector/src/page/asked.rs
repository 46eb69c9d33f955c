//! What a task has asked, and what a person has seen of it who answers.

use checkpointer::serde_json::{Value, json};

use crate::TaskWrites;

/// A task's question and its answers so far, as one word; none if it asks nothing. A form carries it, so that it
/// answers what the person has seen, and that once.
pub(super) fn seen(task: &TaskWrites<'_>) -> Option<String> {
    let question = task.question.filter(|_| task.outputs.is_empty())?;
    let seen = json!([question, task.answers]).to_string();
    Some(blake3::hash(seen.as_bytes()).to_hex().to_string())
}

/// Where in a question is what is asked: LangGraph wraps it into a list and an object.
pub(super) fn within(question: &Value) -> &'static str {
    let (only, in_list) = match question {
        Value::Array(questions) if questions.len() == 1 => (&questions[0], true),
        question => (question, false),
    };
    let is_wrapped =
        only.get("value").is_some() && (only.get("id").is_some() || only.get("!").is_some());
    match (in_list, is_wrapped) {
        (true, true) => "/0/value",
        (true, false) => "/0",
        (false, true) => "/value",
        (false, false) => "",
    }
}
