//! Asks for threads.

use serde_json::{Map, Value};

use crate::ThreadInfo;

/// Asks for threads, the one that changed last first.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListThreads {
    /// Only those whose thread metadata contains this, as `@>` of PostgreSQL's JSONB has it.
    pub filter: Option<Map<String, Value>>,
    /// Only those that come after this one.
    pub after: Option<ThreadInfo>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl ListThreads {
    /// Lists all threads.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Keeps to thread metadata that contains `filter`. Defaults to all.
    #[must_use]
    pub fn filter(self, filter: Map<String, Value>) -> Self {
        Self {
            filter: Some(filter),
            ..self
        }
    }

    /// Goes on after the last thread of the page before. Defaults to the start.
    #[must_use]
    pub fn after(self, last: ThreadInfo) -> Self {
        Self {
            after: Some(last),
            ..self
        }
    }

    /// Ends after `limit` threads; 0 is none. Defaults to no end.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }
}
