//! Asks for checkpoints.

use serde_json::{Map, Value};

use crate::{CheckpointId, CheckpointNs, IntoName, Projection, Result, ThreadId};

/// Asks for checkpoints by id, the greatest first.
///
/// # Examples
///
/// ```
/// use checkpointer::futures_util::TryStreamExt;
/// use checkpointer::{CheckpointNs, Checkpointer, List, Projection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), checkpointer::Error> {
/// # let checkpointer = checkpointer::MemoryCheckpointer::new();
/// # checkpointer.thread("support-4711")?.save(&vec!["Where is my order?".to_owned()]).await?;
/// // The last twenty steps of the root graph.
/// let list = List::thread("support-4711")?.in_ns(CheckpointNs::ROOT).limit(20);
/// let mut steps = checkpointer.list(list.clone().project(Projection::Metadata));
/// let mut last = None;
/// while let Some(step) = steps.try_next().await? {
///     println!("{} {:?}", step.checkpoint.ts, step.metadata.step());
///     last = Some(step.address.checkpoint_id);
/// }
///
/// // The page after them.
/// if let Some(last) = last {
///     let older: Vec<_> = checkpointer.list(list.before(last)).try_collect().await?;
///     assert!(older.is_empty());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct List {
    /// Of this thread only.
    pub thread_id: Option<ThreadId>,
    /// Of this namespace only.
    pub checkpoint_ns: Option<CheckpointNs>,
    /// This checkpoint only.
    pub checkpoint_id: Option<CheckpointId>,
    /// Only those whose metadata contains this, as `@>` of PostgreSQL's JSONB has it.
    pub filter: Option<Map<String, Value>>,
    /// Only those whose id is smaller.
    pub before: Option<CheckpointId>,
    /// At most so many.
    pub limit: Option<usize>,
    /// How much of each.
    pub projection: Projection,
}

impl List {
    /// Lists the checkpoints of all threads and namespaces.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Lists the checkpoints of one thread, in all its namespaces.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](crate::Error::InvalidName) if the thread's id can't be one.
    pub fn thread(thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            thread_id: Some(thread_id.into_name()?),
            ..Self::default()
        })
    }

    /// Keeps to one namespace. Defaults to all.
    #[must_use]
    pub fn in_ns(self, checkpoint_ns: impl Into<CheckpointNs>) -> Self {
        Self {
            checkpoint_ns: Some(checkpoint_ns.into()),
            ..self
        }
    }

    /// Keeps to one id. Defaults to all.
    #[must_use]
    pub fn checkpoint_id(self, checkpoint_id: impl Into<CheckpointId>) -> Self {
        Self {
            checkpoint_id: Some(checkpoint_id.into()),
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

    /// Keeps to ids smaller than `before`. Defaults to all.
    #[must_use]
    pub fn before(self, before: impl Into<CheckpointId>) -> Self {
        Self {
            before: Some(before.into()),
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

    /// Chooses how much is read of each. Defaults to everything.
    #[must_use]
    pub fn project(self, projection: Projection) -> Self {
        Self { projection, ..self }
    }
}
