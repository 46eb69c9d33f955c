//! What makes a put wrong wherever it is stored.

use crate::{Error, Loaded, Put, Result, Version, ids};

/// Checks what a put brings, but for its values.
pub(crate) fn put(put: &Put<'_>) -> Result<()> {
    let checkpoint = put.checkpoint;
    if checkpoint.loaded() != Loaded::All {
        return Err(Error::PartialCheckpoint {
            checkpoint_id: checkpoint.id.clone(),
        });
    }
    let versions = checkpoint.channel_versions.keys();
    let channels = checkpoint.channel_values.keys();
    for channel in channels.chain(versions).chain(put.new_versions.keys()) {
        ids::check_channel(channel)?;
    }
    let seen = checkpoint.versions_seen.values().flatten();
    for (channel, version) in checkpoint.channel_versions.iter().chain(seen) {
        if let Version::Float(float) = version
            && !float.is_finite()
        {
            return Err(Error::Unstorable {
                thread_id: put.thread_id.clone(),
                place: format!("the version of channel `{channel}`"),
                path: "$".to_owned(),
                reason: "a number that is not finite".to_owned(),
            });
        }
    }
    Ok(())
}
