//! The history of a thread, as a tree.

mod graph;
mod join;
pub(crate) mod search;

use checkpointer::futures_util::TryStreamExt;
use checkpointer::{
    CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple, Checkpointer, GetTuple,
    IntoName, List, Projection, Result, ThreadId,
};

pub use graph::Row;

use crate::HistoryFilter;

/// Asks for the history of a thread.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HistoryQuery {
    /// The thread.
    pub thread_id: ThreadId,
    /// Of this namespace only.
    pub checkpoint_ns: Option<CheckpointNs>,
    /// Only checkpoints whose id is smaller.
    pub before: Option<CheckpointId>,
    /// At most so many checkpoints, those with the greatest ids, in all namespaces together.
    pub limit: Option<usize>,
    /// Only checkpoints that are as this asks for.
    pub filter: HistoryFilter,
}

impl HistoryQuery {
    /// Asks for all checkpoints of a thread.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`](checkpointer::Error::InvalidName) if the thread's id can't be one.
    pub fn new(thread_id: impl IntoName<ThreadId>) -> Result<Self> {
        Ok(Self {
            thread_id: thread_id.into_name()?,
            checkpoint_ns: None,
            before: None,
            limit: None,
            filter: HistoryFilter::default(),
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

    /// Keeps to ids smaller than `before`. Defaults to all.
    #[must_use]
    pub fn before(self, before: impl Into<CheckpointId>) -> Self {
        Self {
            before: Some(before.into()),
            ..self
        }
    }

    /// Ends after `limit` checkpoints. Defaults to no end.
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Keeps to checkpoints that are as `filter` asks for. Defaults to all.
    ///
    /// All checkpoints are looked at, without their values, until there are as many as the limit has. For
    /// a text, the values that each of them changed are read.
    #[must_use]
    pub fn filter(self, filter: HistoryFilter) -> Self {
        Self { filter, ..self }
    }

    /// One more than the limit, which shows whether there are more.
    fn list(&self) -> Result<List> {
        let mut list = List::thread(&self.thread_id)?.project(Projection::Metadata);
        list.checkpoint_ns = self.checkpoint_ns.clone();
        list.before = self.before.clone();
        if self.filter.is_empty() {
            list.limit = self.limit.map(|limit| limit.saturating_add(1));
        }
        Ok(list)
    }

    /// Reads the checkpoints, and whether there are more.
    async fn read(&self, checkpointer: &dyn Checkpointer) -> Result<(Vec<CheckpointTuple>, bool)> {
        let most = self.limit.unwrap_or(usize::MAX);
        if !self.filter.is_empty() {
            let until = search::Until {
                found: most,
                time: None,
            };
            let found = search::find(checkpointer, self.list()?, &self.filter, until).await?;
            let tuples = found.tuples.into_iter().map(|(tuple, _)| tuple);
            return Ok((tuples.collect(), found.last.is_some()));
        }
        let mut tuples: Vec<_> = checkpointer.list(self.list()?).try_collect().await?;
        let more = tuples.len() > most;
        tuples.truncate(most);
        Ok((tuples, more))
    }
}

/// The checkpoints of a thread: how each follows another, and which subgraphs ran where.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct History {
    /// The thread.
    pub thread_id: ThreadId,
    /// Its namespaces, by name; the root graph's is first.
    pub lines: Vec<Line>,
    /// Whether there are older checkpoints, because of [`HistoryQuery::limit`].
    pub more: bool,
}

/// The checkpoints of one namespace.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Line {
    /// The namespace.
    pub checkpoint_ns: CheckpointNs,
    /// Its head, which needn't be among the nodes.
    pub head: Option<CheckpointId>,
    /// The checkpoints, each before its parent, and otherwise those with the greatest ids first.
    pub nodes: Vec<Node>,
}

/// A checkpoint in its history.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// The checkpoint, without its state.
    pub tuple: CheckpointTuple,
    /// Whether it is the head of its namespace.
    pub is_head: bool,
    /// Those that follow it in its namespace. More than one is a fork.
    pub children: Vec<CheckpointId>,
    /// Whether it has a parent that isn't among the nodes: it was pruned, or is older than those.
    pub parent_missing: bool,
    /// The checkpoint of the enclosing graph from which the subgraph was called.
    pub within: Option<CheckpointAddress>,
    /// The namespaces of the subgraphs that were called from here, by name.
    pub subgraphs: Vec<CheckpointNs>,
}

impl History {
    /// Reads the history of a thread, without any state; none if it has no such checkpoints.
    ///
    /// It reads a list of checkpoints, and the head of each namespace among them.
    ///
    /// # Errors
    ///
    /// Those of [`list`](Checkpointer::list) and [`get_tuple`](Checkpointer::get_tuple).
    ///
    /// # Cancel safety
    ///
    /// Only reads.
    pub async fn read(
        checkpointer: &dyn Checkpointer,
        query: HistoryQuery,
    ) -> Result<Option<Self>> {
        let (tuples, more) = query.read(checkpointer).await?;
        if tuples.is_empty() && !more {
            return Ok(None);
        }
        let mut lines = join::lines(tuples);
        for line in &mut lines {
            let head = GetTuple::head(&query.thread_id)?.in_ns(&line.checkpoint_ns);
            let head = head.project(Projection::Metadata);
            let head = checkpointer.get_tuple(head).await?;
            line.mark_head(head.map(|head| head.address.checkpoint_id));
        }
        Ok(Some(Self {
            thread_id: query.thread_id,
            lines,
            more,
        }))
    }

    /// The checkpoints of a namespace.
    pub fn line(&self, checkpoint_ns: &CheckpointNs) -> Option<&Line> {
        (self.lines.iter()).find(|line| line.checkpoint_ns == *checkpoint_ns)
    }
}

impl Line {
    fn mark_head(&mut self, head: Option<CheckpointId>) {
        for node in &mut self.nodes {
            node.is_head = head.as_ref() == Some(node.id());
        }
        self.head = head;
    }
}

impl Node {
    /// The checkpoint's id.
    pub fn id(&self) -> &CheckpointId {
        &self.tuple.address.checkpoint_id
    }

    /// The parent's id.
    pub fn parent_id(&self) -> Option<&CheckpointId> {
        (self.tuple.parent_address.as_ref()).map(|parent| &parent.checkpoint_id)
    }
}

#[cfg(test)]
mod tests;
