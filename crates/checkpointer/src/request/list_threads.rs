//! Asks for threads.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::ThreadInfo;

/// Which of the threads come first in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ThreadOrder {
    /// Those that changed last.
    #[default]
    NewestFirst,
    /// Those that haven't changed for the longest time.
    OldestFirst,
}

/// Asks for threads, by their last change.
///
/// # While threads change
///
/// A list is read page by page, and a change moves its thread to the end that is newest.
///
/// - [`NewestFirst`](ThreadOrder::NewestFirst): no thread is listed twice. A thread that changes
///   before its turn moves behind the reader and is left out. A second list with
///   [`changed_after`](Self::changed_after), the time at which the first one began, has it.
/// - [`OldestFirst`](ThreadOrder::OldestFirst): no thread is left out. A thread that changes after
///   its turn comes once more, with its new [`updated_at`](ThreadInfo::updated_at), and so a list
///   without [`changed_before`](Self::changed_before) may go on for as long as threads change.
///
/// The time of a change is the one at which its transaction began. A change that is stored while it
/// is listed may be a moment older than the last thread of a page, and isn't listed then.
///
/// # What it costs
///
/// A page reads about as much as it has threads, however many there are, and in addition the heads
/// that changed within the hour at which it begins. Each namespace of a thread has a head, and all
/// of them are read. With a [`filter`](Self::filter) that few threads match, an index finds those.
/// [`state_contains`](Self::state_contains) reads the state of every thread that the rest of the
/// request allows, until the limit is reached.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use checkpointer::futures_util::TryStreamExt;
/// use checkpointer::serde_json::json;
/// use checkpointer::{Checkpointer, ListThreads};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// // Ann's conversations that wait for approval and have rested for a day, the oldest first.
/// let query = ListThreads::all()
///     .oldest_first()
///     .changed_before(SystemTime::now() - Duration::from_secs(24 * 60 * 60))
///     .filter(json!({ "customer": "ann" }).as_object().cloned().unwrap_or_default())
///     .state_contains(json!({ "waits_for": "approval" }).as_object().cloned().unwrap_or_default())
///     .limit(20);
/// let page: Vec<_> = checkpointer.threads(query.clone()).try_collect().await?;
/// if let Some(last) = page.last() {
///     let next = query.after(last.clone());
///     # let _ = next;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListThreads {
    /// Which come first.
    pub order: ThreadOrder,
    /// Only those whose thread metadata contains this, as `@>` of PostgreSQL's JSONB has it.
    pub filter: Option<Map<String, Value>>,
    /// Only those whose state contains this, in the same sense: the values of channels at the head of
    /// the root namespace.
    pub state: Option<Map<String, Value>>,
    /// Only those whose last change is earlier.
    pub changed_before: Option<SystemTime>,
    /// Only those whose last change is later.
    pub changed_after: Option<SystemTime>,
    /// Only those that come after this one.
    pub after: Option<ThreadInfo>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl ListThreads {
    /// Lists all threads, the one that changed last first.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Begins with the thread that hasn't changed for the longest time. Defaults to the one that
    /// changed last.
    #[must_use]
    pub fn oldest_first(self) -> Self {
        Self {
            order: ThreadOrder::OldestFirst,
            ..self
        }
    }

    /// Keeps to thread metadata that contains `filter`. Defaults to all.
    #[must_use]
    pub fn filter(self, filter: Map<String, Value>) -> Self {
        Self {
            filter: Some(filter),
            ..self
        }
    }

    /// Keeps to threads whose state contains `state`: each channel that it names has a value at the
    /// head of the root namespace that contains the value here, as `@>` of PostgreSQL's JSONB has
    /// it. Defaults to all.
    ///
    /// There is no index of states. What a list costs is in
    /// [its documentation](Self#what-it-costs): restrict it by metadata or time where you can.
    #[must_use]
    pub fn state_contains(self, state: Map<String, Value>) -> Self {
        Self {
            state: Some(state),
            ..self
        }
    }

    /// Keeps to threads whose last change is earlier. Defaults to all.
    #[must_use]
    pub fn changed_before(self, time: SystemTime) -> Self {
        Self {
            changed_before: Some(time),
            ..self
        }
    }

    /// Keeps to threads whose last change is later. Defaults to all.
    #[must_use]
    pub fn changed_after(self, time: SystemTime) -> Self {
        Self {
            changed_after: Some(time),
            ..self
        }
    }

    /// Goes on after the last thread of the page before, in the same order. Defaults to the start.
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
