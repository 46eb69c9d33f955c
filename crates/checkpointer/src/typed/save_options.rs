//! What a save says besides the state.

use serde_json::{Map, Value};

use super::Attempt;
use super::shape::STATE_VERSION;
use crate::Metadata;

/// What a save says besides the state, for [`Thread::save_with`](super::Thread::save_with).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SaveOptions {
    /// The caller's own metadata of the checkpoint.
    pub metadata: Map<String, Value>,
    /// What changes in the thread's own metadata.
    pub thread_metadata: Map<String, Value>,
}

impl SaveOptions {
    /// Says nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a key of the checkpoint's metadata, by which
    /// [`List::filter`](crate::List::filter) and [`History::filter`](crate::History::filter) find it.
    ///
    /// `source`, `step`, `parents` and `state_version` are the save's own and stay as they are.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Changes a key of the thread's own metadata together with the save, by which
    /// [`ListThreads::filter`](crate::ListThreads::filter) finds the thread. Null removes the key, and
    /// others stay: see [`Put::thread_metadata`](crate::Put::thread_metadata).
    #[must_use]
    pub fn thread_metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.thread_metadata.insert(key.into(), value.into());
        self
    }
}

impl Attempt {
    /// The same save, which says more.
    pub(super) fn with(self, options: SaveOptions) -> Self {
        let mut metadata = options.metadata;
        // Without an own one the state has version 0.
        metadata.remove(STATE_VERSION);
        metadata.extend(self.metadata.into_map());
        Self {
            metadata: Metadata::from(metadata),
            thread_metadata: options.thread_metadata,
            ..self
        }
    }
}
