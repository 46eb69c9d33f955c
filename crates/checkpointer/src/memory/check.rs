//! What PostgreSQL would refuse, this store refuses too.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::codec::{encode, encode_object};
use crate::{ChannelValues, Error, Put, PutWrites, Result, ThreadId};

/// Checks all that a put brings, but for the values that it shares with its parent: those were checked.
pub(super) fn put(put: &Put<'_>, parent: &ChannelValues) -> Result<()> {
    put.check()?;
    let (thread_id, checkpoint) = (put.thread_id, put.checkpoint);
    for (name, value) in checkpoint.channel_values.iter_shared() {
        let before = parent.get_shared(name);
        if !before.is_some_and(|before| Arc::ptr_eq(before, value)) {
            channel(thread_id, name, value)?;
        }
    }
    // As deep as PostgreSQL's rows hold them.
    let fields = Map::from_iter([
        ("ts".to_owned(), Value::from(checkpoint.ts.as_str())),
        ("extra".to_owned(), Value::Object(checkpoint.extra.clone())),
    ]);
    object(thread_id, "the checkpoint's own fields", &fields)?;
    object(thread_id, "the metadata", put.metadata.as_map())?;
    match put.thread_metadata {
        Some(changes) => thread_metadata(thread_id, changes),
        None => Ok(()),
    }
}

/// Checks the values of channels.
pub(super) fn channels(thread_id: &ThreadId, values: &ChannelValues) -> Result<()> {
    let mut values = values.iter();
    values.try_for_each(|(name, value)| channel(thread_id, name, value))
}

fn channel(thread_id: &ThreadId, name: &str, content: &Value) -> Result<()> {
    value(thread_id, &format!("channel `{name}`"), content)
}

/// Checks all that a task's writes bring.
pub(super) fn put_writes(put: &PutWrites<'_>) -> Result<()> {
    put.check()?;
    for (channel, content) in put.writes {
        let place = format!("the write to channel `{channel}`");
        value(&put.address.thread_id, &place, content)?;
    }
    Ok(())
}

/// Checks the metadata of a thread.
pub(super) fn thread_metadata(thread_id: &ThreadId, metadata: &Map<String, Value>) -> Result<()> {
    object(thread_id, "the thread's metadata", metadata)
}

fn value(thread_id: &ThreadId, place: &str, value: &Value) -> Result<()> {
    encode(value, &mut Vec::new()).map_err(|refused| Error::refused(thread_id, place, &refused))
}

fn object(thread_id: &ThreadId, place: &str, object: &Map<String, Value>) -> Result<()> {
    let unstorable = |refused| Error::refused(thread_id, place, &refused);
    encode_object(object, &mut Vec::new()).map_err(unstorable)
}
