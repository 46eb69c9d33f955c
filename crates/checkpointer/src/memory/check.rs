//! What PostgreSQL would refuse, this store refuses too.

use serde_json::{Map, Value};

use crate::codec::{encode, encode_object};
use crate::{ChannelValues, Error, Put, PutWrites, Result, ThreadId};

/// Checks all that a put brings.
pub(super) fn put(put: &Put<'_>) -> Result<()> {
    put.check()?;
    let (thread_id, checkpoint) = (put.thread_id, put.checkpoint);
    channels(thread_id, &checkpoint.channel_values)?;
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
    values.try_for_each(|(channel, content)| {
        value(thread_id, &format!("channel `{channel}`"), content)
    })
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
