//! What every store refuses of a call, whatever becomes of the values.

use crate::ids::{check_channel, check_task_path};
use crate::{Error, Loaded, Put, PutWrites, Result, Version};

/// Checks the names, the versions and the completeness of a put.
pub(crate) fn put(put: &Put<'_>) -> Result<()> {
    let checkpoint = put.checkpoint;
    if checkpoint.loaded() != Loaded::All {
        return Err(Error::PartialCheckpoint {
            checkpoint_id: checkpoint.id.clone(),
        });
    }
    let channels = checkpoint.channel_values.keys();
    let channels = channels.chain(checkpoint.channel_versions.keys());
    for channel in channels.chain(put.new_versions.keys()) {
        check_channel(channel)?;
    }
    let seen = checkpoint.versions_seen.values().flatten();
    for (channel, version) in checkpoint.channel_versions.iter().chain(seen) {
        if let Version::Float(float) = version
            && !float.is_finite()
        {
            let place = format!("the version of channel `{channel}`");
            let reason = "a number that is not finite";
            return Err(Error::unstorable(put.thread_id, &place, "$", reason));
        }
    }
    Ok(())
}

/// Checks that there is a checkpoint to take the values from of channels that a put leaves out: its
/// parent, or what was stored by putting it before.
pub(crate) fn parent(put: &Put<'_>, is_there: bool) -> Result<()> {
    match (put.parent, put.unchanged().next()) {
        (Some(parent), Some((channel, _))) if !is_there => {
            Err(Error::parent_not_found(put, parent, channel))
        }
        _ => Ok(()),
    }
}

/// Checks the names in a task's writes.
pub(crate) fn put_writes(put: &PutWrites<'_>) -> Result<()> {
    check_task_path(put.task_path)?;
    put.writes
        .iter()
        .try_for_each(|(channel, _)| check_channel(channel))
}
