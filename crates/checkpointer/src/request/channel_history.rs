//! Asks for the writes that channels are rebuilt from.

use crate::{GetTuple, Result, ids};

/// Asks for the writes from which channels are rebuilt.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct GetChannelHistory {
    /// The checkpoint whose channels they are; the head if there is no id.
    pub target: GetTuple,
    /// The channels.
    pub channels: Vec<String>,
}

impl GetChannelHistory {
    /// Reads the history of `channels` as of the checkpoint `target`.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if a channel's name can't be one.
    pub fn new(target: GetTuple, channels: impl IntoIterator<Item: Into<String>>) -> Result<Self> {
        let channels: Vec<String> = channels.into_iter().map(Into::into).collect();
        for channel in &channels {
            ids::check_channel(channel)?;
        }
        Ok(Self { target, channels })
    }
}
