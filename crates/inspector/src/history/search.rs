//! Looking for checkpoints in a long history.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use checkpointer::futures_util::TryStreamExt;
use checkpointer::futures_util::stream::BoxStream;
use checkpointer::{
    CheckpointAddress, CheckpointId, CheckpointTuple, Checkpointer, GetTuple, List, Projection,
    Result,
};
use tokio::time::Instant;

use crate::HistoryFilter;
use crate::facts::{changed, need_parent};
use crate::filter::{contains, is_in};

/// Among how many of the next checkpoints a parent is looked for before it is read by itself.
const NEAR: usize = 64;

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The checkpoints, without values, and their parents where they were needed.
    pub(crate) tuples: Vec<(CheckpointTuple, Option<CheckpointTuple>)>,
    /// How many checkpoints were looked at.
    pub(crate) looked_at: usize,
    /// The last one of these, if there are more.
    pub(crate) last: Option<CheckpointId>,
}

/// When a search ends before it is at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Until {
    /// So many are found.
    pub(crate) found: usize,
    /// So much time has passed.
    pub(crate) time: Option<Duration>,
}

/// Looks for checkpoints among those of a list.
pub(crate) async fn find(
    checkpointer: &dyn Checkpointer,
    list: List,
    filter: &HistoryFilter,
    until: Until,
) -> Result<Found> {
    let mut search = Search {
        checkpointer,
        filter,
        text: filter.text.as_deref().map(str::to_lowercase),
        steps: checkpointer.list(list.project(nothing())),
        near: VecDeque::new(),
        far: HashMap::new(),
    };
    let end = until.time.map(|time| Instant::now() + time);
    let mut found = Found::default();
    while let Some(tuple) = search.next().await? {
        found.looked_at += 1;
        let last = tuple.address.checkpoint_id.clone();
        let parent = search.parent(&tuple).await?;
        if search.finds(&tuple, parent.as_ref()).await? {
            found.tuples.push((tuple, parent));
        }
        let is_late = end.is_some_and(|end| Instant::now() >= end);
        if (is_late || found.tuples.len() >= until.found) && !search.near.is_empty() {
            found.last = Some(last);
            break;
        }
    }
    Ok(found)
}

/// Everything but values.
fn nothing() -> Projection {
    Projection::channels(Vec::<String>::new())
}

struct Search<'a> {
    checkpointer: &'a dyn Checkpointer,
    filter: &'a HistoryFilter,
    /// The text that is looked for, in small letters.
    text: Option<String>,
    steps: BoxStream<'static, Result<CheckpointTuple>>,
    /// The next ones.
    near: VecDeque<CheckpointTuple>,
    /// Parents that weren't among the next ones.
    far: HashMap<CheckpointAddress, Option<CheckpointTuple>>,
}

impl Search<'_> {
    async fn next(&mut self) -> Result<Option<CheckpointTuple>> {
        while self.near.len() <= NEAR {
            match self.steps.try_next().await? {
                Some(tuple) => self.near.push_back(tuple),
                None => break,
            }
        }
        Ok(self.near.pop_front())
    }

    /// The parent of a checkpoint, if it tells something of the checkpoint.
    async fn parent(&mut self, tuple: &CheckpointTuple) -> Result<Option<CheckpointTuple>> {
        let Some(parent) = &tuple.parent_address else {
            return Ok(None);
        };
        let is_parent = |near: &&CheckpointTuple| {
            near.address.checkpoint_id == parent.checkpoint_id
                && near.address.checkpoint_ns == parent.checkpoint_ns
        };
        if let Some(near) = self.near.iter().find(is_parent) {
            return Ok(Some(near.clone()));
        }
        if !self.filter.looks_at_changes() || !need_parent(tuple) {
            return Ok(None);
        }
        if let Some(far) = self.far.get(parent) {
            return Ok(far.clone());
        }
        let read = GetTuple::at(parent).project(nothing());
        let read = self.checkpointer.get_tuple(read).await?;
        self.far.insert(parent.clone(), read.clone());
        Ok(read)
    }

    async fn finds(
        &mut self,
        tuple: &CheckpointTuple,
        parent: Option<&CheckpointTuple>,
    ) -> Result<bool> {
        let before = parent.map(|parent| &parent.checkpoint);
        if !self.filter.allows(tuple, before) {
            return Ok(false);
        }
        let Some(text) = &self.text else {
            return Ok(true);
        };
        let mut metadata = tuple.metadata.as_map().iter();
        if is_in(tuple.address.checkpoint_ns.as_str(), text)
            || metadata.any(|(key, value)| is_in(key, text) || contains(value, text))
        {
            return Ok(true);
        }
        let channels = Projection::Channels(changed(&tuple.checkpoint, before));
        let values = GetTuple::at(&tuple.address).project(channels);
        let values = self.checkpointer.get_tuple(values).await?;
        // One that was removed meanwhile has none.
        let values = values.map(|tuple| tuple.checkpoint.channel_values);
        let mut values = values.iter().flatten();
        Ok(values.any(|(channel, value)| is_in(channel, text) || contains(value, text)))
    }
}
