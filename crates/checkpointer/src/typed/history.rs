//! The history of a thread.

use std::future::ready;
use std::time::SystemTime;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use super::Thread;
use crate::{CheckpointId, CheckpointNs, CheckpointTuple, List, Projection, Result};

/// Asks for a part of a thread's history, for [`Thread::history_of`].
///
/// # Examples
///
/// A page of a history, and the page after it:
///
/// ```
/// use checkpointer::History;
/// use checkpointer::futures_util::TryStreamExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// # let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
/// # thread.save(&vec!["Where is my order?".to_owned()]).await?;
/// let page = History::all().limit(20);
/// let steps: Vec<_> = thread.history_of(page.clone()).try_collect().await?;
/// for step in &steps {
///     println!("{:?} {}", step.checkpoint.made_at(), step.address.checkpoint_id);
/// }
/// if let Some(last) = steps.last() {
///     let older = thread.history_of(page.before(&last.address.checkpoint_id));
///     assert!(older.try_collect::<Vec<_>>().await?.is_empty());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct History {
    /// Only checkpoints whose id is smaller.
    pub before: Option<CheckpointId>,
    /// Only those whose metadata contains this, as `@>` of PostgreSQL's JSONB has it.
    pub filter: Option<Map<String, Value>>,
    /// Only those made earlier.
    pub made_before: Option<SystemTime>,
    /// Only those made later.
    pub made_after: Option<SystemTime>,
    /// At most so many.
    pub limit: Option<usize>,
}

impl History {
    /// Asks for all checkpoints.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Keeps to ids smaller than `before`: goes on after the last checkpoint of a page. Defaults to all.
    #[must_use]
    pub fn before(self, before: impl Into<CheckpointId>) -> Self {
        Self {
            before: Some(before.into()),
            ..self
        }
    }

    /// Keeps to metadata that contains `filter`. Defaults to all.
    #[must_use]
    pub fn filter(self, filter: Map<String, Value>) -> Self {
        Self {
            filter: Some(filter),
            ..self
        }
    }

    /// Keeps to checkpoints [made](crate::Checkpoint::made_at) earlier. The later ones are read and
    /// passed over. Defaults to all.
    #[must_use]
    pub fn made_before(self, time: SystemTime) -> Self {
        Self {
            made_before: Some(time),
            ..self
        }
    }

    /// Keeps to checkpoints [made](crate::Checkpoint::made_at) later. The earlier ones are read and passed
    /// over, as their ids may be greater. Defaults to all.
    #[must_use]
    pub fn made_after(self, time: SystemTime) -> Self {
        Self {
            made_after: Some(time),
            ..self
        }
    }

    /// Ends after `limit` checkpoints; 0 is none. Defaults to no end.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    fn has_times(&self) -> bool {
        self.made_before.is_some() || self.made_after.is_some()
    }

    /// Whether the checkpoint was made when it is asked for. One without a time is left out if times
    /// matter.
    fn is_in_time(&self, tuple: &CheckpointTuple) -> bool {
        let Some(made_at) = tuple.checkpoint.made_at() else {
            return !self.has_times();
        };
        self.made_before.is_none_or(|time| made_at < time)
            && self.made_after.is_none_or(|time| made_at > time)
    }
}

impl<State> Thread<State> {
    /// Lists the checkpoints by id, the greatest first: ids, metadata, and when each was made.
    ///
    /// # Examples
    ///
    /// ```
    /// use checkpointer::futures_util::TryStreamExt;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), checkpointer::Error> {
    /// # let checkpointer = checkpointer::MemoryCheckpointer::new();
    /// let mut thread = checkpointer.thread::<Vec<String>>("support-4711")?;
    /// thread.save(&vec!["Where is my order?".to_owned()]).await?;
    ///
    /// let mut history = thread.history();
    /// while let Some(step) = history.try_next().await? {
    ///     println!("{} {}", step.checkpoint.ts, step.address.checkpoint_id);
    ///     println!("{:?}", thread.at(&step.address.checkpoint_id).await?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn history(&self) -> BoxStream<'static, Result<CheckpointTuple>> {
        self.history_of(History::all())
    }

    /// Lists a part of the checkpoints, as [`history`](Self::history) lists all.
    pub fn history_of(&self, history: History) -> BoxStream<'static, Result<CheckpointTuple>> {
        let list = List {
            thread_id: Some(self.thread_id.clone()),
            before: history.before.clone(),
            filter: history.filter.clone(),
            // What is passed over doesn't count.
            limit: history.limit.filter(|_| !history.has_times()),
            ..List::all()
        };
        let list = list.in_ns(CheckpointNs::ROOT).project(Projection::Metadata);
        let limit = history.limit.unwrap_or(usize::MAX);
        let steps = self.checkpointer.list(list);
        let steps = steps.try_filter(move |tuple| ready(history.is_in_time(tuple)));
        steps.take(limit).boxed()
    }
}
