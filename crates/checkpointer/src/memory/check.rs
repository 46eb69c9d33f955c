//! What PostgreSQL would refuse, this store refuses too.

use serde_json::{Map, Value};

use crate::ids::{check_channel, check_task_path};
use crate::{Error, Loaded, Put, PutWrites, Result, ThreadId};

/// Checks all that a put brings.
pub(super) fn put(put: &Put<'_>) -> Result<()> {
    let checkpoint = put.checkpoint;
    if checkpoint.loaded() != Loaded::All {
        return Err(Error::PartialCheckpoint {
            checkpoint_id: checkpoint.id.clone(),
        });
    }
    let of_versions = checkpoint.channel_versions.keys();
    let channels = of_versions.chain(put.new_versions.keys());
    for channel in channels.chain(checkpoint.channel_values.keys()) {
        check_channel(channel)?;
    }
    Ok(())
}

/// Checks all that a task's writes bring.
pub(super) fn put_writes(put: &PutWrites<'_>) -> Result<()> {
    check_task_path(put.task_path)?;
    for (channel, _) in put.writes {
        check_channel(channel)?;
    }
    Ok(())
}

/// Checks the metadata of a thread.
pub(super) fn thread_metadata(_: &ThreadId, _: &Map<String, Value>) -> Result<()> {
    Ok(())
}
