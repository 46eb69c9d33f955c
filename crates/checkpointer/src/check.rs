//! What every store refuses of a call, whatever becomes of the values.

use crate::ids::{check_channel, check_key, check_task_path};
use crate::{Error, Loaded, Put, PutWrites, Result, Version};

impl Put<'_> {
    /// Checks the names, the versions and the completeness, for those who write a checkpointer: each
    /// refuses the same, before anything is stored.
    ///
    /// # Errors
    ///
    /// [`Error::PartialCheckpoint`] for a checkpoint that was read in part; [`Error::InvalidName`] for
    /// the name of a channel that can't be stored, and for a namespace that is too long with the id of the
    /// checkpoint; [`Error::Unstorable`] for a version that isn't finite, and for a channel that has a value
    /// and is [appended](Put::append) to as well.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::{Checkpoint, CheckpointId, Error, Loaded, Metadata, Put, ThreadId};
    ///
    /// let (thread_id, metadata) = (ThreadId::new("support-4711")?, Metadata::default());
    /// let partial = Checkpoint::new(CheckpointId::generate(None)).with_loaded(Loaded::SomeChannels);
    /// let refusal = Put::new(&thread_id, &partial, &metadata).check();
    /// assert!(matches!(refusal, Err(Error::PartialCheckpoint { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn check(&self) -> Result<()> {
        let checkpoint = self.checkpoint;
        if checkpoint.loaded() != Loaded::All {
            return Err(Error::partial_checkpoint(&checkpoint.id));
        }
        check_key(&self.checkpoint_ns, &checkpoint.id, None)?;
        let channels = checkpoint.channel_values.keys();
        let channels = channels.chain(checkpoint.channel_versions.keys());
        for channel in channels.chain(self.new_versions.keys()) {
            check_channel(channel)?;
        }
        self.check_appended()?;
        self.check_versions()
    }

    fn check_appended(&self) -> Result<()> {
        for channel in self.appended.keys() {
            check_channel(channel)?;
            if self.checkpoint.channel_values.contains_key(channel) {
                let place = format!("channel `{channel}`");
                let reason = "a value, and items that the put appends to the parent's";
                return Err(Error::unstorable(self.thread_id, &place, "$", reason));
            }
        }
        Ok(())
    }

    fn check_versions(&self) -> Result<()> {
        let checkpoint = self.checkpoint;
        let seen = checkpoint.versions_seen.values().flatten();
        for (channel, version) in checkpoint.channel_versions.iter().chain(seen) {
            if let Version::Float(float) = version
                && !float.is_finite()
            {
                let place = format!("the version of channel `{channel}`");
                let reason = "a number that is not finite";
                return Err(Error::unstorable(self.thread_id, &place, "$", reason));
            }
        }
        Ok(())
    }
}

impl PutWrites<'_> {
    /// Checks the names of the channels and the task's path, for those who write a checkpointer: each
    /// refuses the same, before anything is stored.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`] for a name that can't be stored, and for a namespace that is too long with the
    /// ids of the checkpoint and of the task.
    pub fn check(&self) -> Result<()> {
        let at = self.address;
        check_key(&at.checkpoint_ns, &at.checkpoint_id, Some(self.task_id))?;
        check_task_path(self.task_path)?;
        self.writes
            .iter()
            .try_for_each(|(channel, _)| check_channel(channel))
    }
}

/// Checks that there is a checkpoint to take the values from of channels that a put leaves out: its
/// parent, or what was stored by putting it before.
pub(crate) fn parent(put: &Put<'_>, is_there: bool) -> Result<()> {
    match (put.parent, put.inherited()) {
        (Some(parent), Some(channel)) if !is_there => {
            Err(Error::parent_not_found(put, parent, channel))
        }
        _ => Ok(()),
    }
}
