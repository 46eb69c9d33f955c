//! What LangGraph can read of what people write.

use checkpointer::CheckpointTuple;
use checkpointer::serde_json::Value;
use langgraph::{Error, Serialized};

/// The task that LangGraph notes when a run has begun.
const INPUT: &str = "__input__";

/// Says why LangGraph couldn't read a value in a checkpoint that follows `at`, and with it the whole thread: it
/// reserves keys that begin with `!`. None if it could, or if `at` isn't LangGraph's.
///
/// # Examples
///
/// ```
/// use checkpointer::serde_json::json;
/// use checkpointer::{Checkpoint, CheckpointAddress, CheckpointId, CheckpointTuple, Metadata};
/// use inspector::unreadable_for_langgraph;
///
/// let id = CheckpointId::generate(None);
/// let address = CheckpointAddress::new("support-4711", &id)?;
/// let mut at = CheckpointTuple::new(address, Checkpoint::new(id), Metadata::default());
/// assert_eq!(unreadable_for_langgraph(&at, &json!({ "!": 1 })), None);
///
/// at.checkpoint.versions_seen.insert("__input__".to_owned(), Default::default());
/// assert!(unreadable_for_langgraph(&at, &json!({ "!": 1 })).is_some());
/// assert_eq!(unreadable_for_langgraph(&at, &json!({ "plan": "wait" })), None);
/// # Ok::<(), checkpointer::Error>(())
/// ```
pub fn unreadable_for_langgraph(at: &CheckpointTuple, value: &Value) -> Option<String> {
    if !at.checkpoint.versions_seen.contains_key(INPUT) {
        return None;
    }
    match Serialized::from_json(value) {
        Ok(_) => None,
        Err(Error::MalformedValue { source }) => Some(source.to_string()),
        Err(error) => Some(error.to_string()),
    }
}
