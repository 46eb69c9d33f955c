//! How much of a checkpoint to read.

/// How much of each checkpoint to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Projection {
    /// Everything.
    #[default]
    All,
    /// Everything but the pending writes, and of the values these channels only.
    Channels(Vec<String>),
    /// Ids, metadata, formats and times.
    Metadata,
}

impl Projection {
    /// Reads everything but the pending writes, and of the values these channels only.
    pub fn channels(channels: impl IntoIterator<Item: Into<String>>) -> Self {
        Self::Channels(channels.into_iter().map(Into::into).collect())
    }
}
