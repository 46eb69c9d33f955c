//! What PostgreSQL would refuse, this store refuses too.

use serde_json::{Map, Value};

use crate::codec::{Refused, encode, encode_object};
use crate::ids::{check_channel, check_task_path};
use crate::{Checkpoint, Error, Put, PutWrites, Result, ThreadId};

/// Checks all that a put brings.
pub(super) fn put(put: &Put<'_>) -> Result<()> {
    crate::check::put(put)?;
    let (thread_id, checkpoint) = (put.thread_id, put.checkpoint);
    for (channel, content) in &checkpoint.channel_values {
        value(thread_id, &format!("channel `{channel}`"), content)?;
    }
    own_fields(thread_id, checkpoint)?;
    object(thread_id, "the metadata", put.metadata.as_map())
}

/// Checks all that a task's writes bring.
pub(super) fn put_writes(put: &PutWrites<'_>) -> Result<()> {
    check_task_path(put.task_path)?;
    for (channel, content) in put.writes {
        check_channel(channel)?;
        let place = format!("the write to channel `{channel}`");
        value(&put.config.thread_id, &place, content)?;
    }
    Ok(())
}

/// Checks the metadata of a thread.
pub(super) fn thread_metadata(thread_id: &ThreadId, metadata: &Map<String, Value>) -> Result<()> {
    object(thread_id, "the thread's metadata", metadata)
}

fn value(thread_id: &ThreadId, place: &str, value: &Value) -> Result<()> {
    encode(value, &mut Vec::new()).map_err(|refused| unstorable(thread_id, place, &refused))
}

/// Checks the checkpoint but for its values.
fn own_fields(thread_id: &ThreadId, checkpoint: &Checkpoint) -> Result<()> {
    let fields = Map::from_iter([
        ("ts".to_owned(), Value::from(checkpoint.ts.as_str())),
        ("extra".to_owned(), Value::Object(checkpoint.extra.clone())),
    ]);
    object(thread_id, "the checkpoint's own fields", &fields)
}

fn object(thread_id: &ThreadId, place: &str, object: &Map<String, Value>) -> Result<()> {
    let unstorable = |refused| unstorable(thread_id, place, &refused);
    encode_object(object, &mut Vec::new()).map_err(unstorable)
}

fn unstorable(thread_id: &ThreadId, place: &str, refused: &Refused) -> Error {
    Error::Unstorable {
        thread_id: thread_id.clone(),
        place: place.to_owned(),
        path: refused.path.to_string(),
        reason: refused.reason.to_string(),
    }
}
