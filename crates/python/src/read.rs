//! The calls that read.

use std::mem;
use std::process;
use std::sync::Arc;

use checkpointer::futures_util::StreamExt as _;
use checkpointer::futures_util::stream::BoxStream;
use checkpointer::{
    CheckpointId, CheckpointNs, CheckpointTuple, Checkpointer, Error, GetChannelHistory, GetTuple,
    List, ThreadId,
};
use langgraph::Serialized;
use pyo3::prelude::*;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::answer::{Answer, History, Tuple};
use crate::call::call;
use crate::connected::Connected;
use crate::failure::{Failure, Result};
use crate::inbox::Inbox;

/// The first format of checkpoints whose tasks' sends are a channel of their own.
const SENDS_ARE_A_CHANNEL: i64 = 4;

/// The channel of what tasks send to others.
const TASKS: &str = "__pregel_tasks";

/// At most so many checkpoints of a list are handed over at once.
const PAGE: usize = 32;

/// Names a checkpoint, or a head.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) thread_id: String,
    pub(crate) checkpoint_ns: String,
    pub(crate) checkpoint_id: Option<String>,
}

impl Target {
    fn query(self) -> Result<GetTuple> {
        let ns = CheckpointNs::new(self.checkpoint_ns)?;
        let mut query = GetTuple::head(self.thread_id)?.in_ns(ns);
        query.checkpoint_id = self.checkpoint_id.map(CheckpointId::new).transpose()?;
        Ok(query)
    }
}

pub(crate) async fn get_tuple(connected: Arc<Connected>, target: Target) -> Result<Answer> {
    let checkpointer = connected.checkpointer().await?;
    let found = checkpointer.get_tuple(target.query()?).await?;
    let Some(found) = found else {
        return Ok(Answer::Tuple(None));
    };
    Ok(Answer::Tuple(Some(Box::new(
        tuple(checkpointer, found).await?,
    ))))
}

async fn tuple(checkpointer: &dyn Checkpointer, found: CheckpointTuple) -> Result<Tuple> {
    let sends = match &found.parent_address {
        Some(parent) if found.checkpoint.v < SENDS_ARE_A_CHANNEL => {
            sends(checkpointer.get_tuple(GetTuple::at(parent)).await?)?
        }
        _ => Vec::new(),
    };
    Tuple::new(found, sends)
}

/// What the tasks that ran on a checkpoint have sent to others.
fn sends(parent: Option<CheckpointTuple>) -> Result<Vec<Serialized>> {
    let writes = parent.map(|parent| parent.pending_writes);
    let writes = writes.unwrap_or_default().into_iter();
    writes
        .filter(|write| write.channel == TASKS)
        .map(|write| Ok(Serialized::from_json(&write.value)?))
        .collect()
}

pub(crate) async fn channel_history(
    connected: Arc<Connected>,
    target: Target,
    channels: Vec<String>,
) -> Result<Answer> {
    let query = GetChannelHistory::new(target.query()?, channels)?;
    let checkpointer = connected.checkpointer().await?;
    let histories = checkpointer.channel_history(query).await?.into_iter();
    let histories = histories.map(|(channel, history)| History::new(channel, history));
    Ok(Answer::Histories(histories.collect::<Result<_>>()?))
}

/// Which checkpoints are to be listed.
#[derive(Debug)]
pub(crate) struct Selection {
    pub(crate) thread_id: Option<String>,
    pub(crate) checkpoint_ns: Option<String>,
    pub(crate) checkpoint_id: Option<String>,
    /// As JSON.
    pub(crate) filter: Option<String>,
    pub(crate) before: Option<String>,
    pub(crate) limit: Option<usize>,
}

impl Selection {
    fn query(self) -> Result<List> {
        let filter = self.filter.as_deref();
        let filter = filter.map(serde_json::from_str::<Map<String, Value>>);
        let mut list = List::all();
        list.thread_id = self.thread_id.map(ThreadId::new).transpose()?;
        list.checkpoint_ns = self.checkpoint_ns.map(CheckpointNs::new).transpose()?;
        list.checkpoint_id = self.checkpoint_id.map(CheckpointId::new).transpose()?;
        list.filter = filter.transpose()?;
        list.before = self.before.map(CheckpointId::new).transpose()?;
        list.limit = self.limit;
        Ok(list)
    }
}

/// A list under way. It holds no connection between two pages.
#[pyclass(frozen, module = "langgraph.checkpoint.jsonb._native")]
pub(crate) struct Listing {
    /// The process that has begun it.
    pid: u32,
    connected: Arc<Connected>,
    stage: Arc<Mutex<Stage>>,
}

enum Stage {
    Asked(Selection),
    Begun(BoxStream<'static, Result<CheckpointTuple, Error>>),
    /// Read to its end, or a call failed or was dropped.
    Over,
}

impl std::fmt::Debug for Listing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listing").finish_non_exhaustive()
    }
}

impl Listing {
    pub(crate) fn new(connected: Arc<Connected>, selection: Selection) -> Self {
        Self {
            pid: process::id(),
            connected,
            stage: Arc::new(Mutex::new(Stage::Asked(selection))),
        }
    }
}

impl Drop for Listing {
    /// A child that was forked leaves alone what is its parent's, as that of a client is.
    fn drop(&mut self) {
        if self.pid != process::id() {
            mem::forget(Arc::clone(&self.connected));
            mem::forget(Arc::clone(&self.stage));
        }
    }
}

#[pymethods]
impl Listing {
    /// Reads the next checkpoints; none are left if there are none.
    #[pyo3(signature = (inbox))]
    fn next<'py>(&self, py: Python<'py>, inbox: Option<&Inbox>) -> PyResult<Bound<'py, PyAny>> {
        if self.pid != process::id() {
            return Err(Failure::list_of_parent().into());
        }
        let connected = Arc::clone(&self.connected);
        let stage = Arc::clone(&self.stage);
        call(py, inbox, async move { page(&connected, &stage).await })
    }
}

async fn page(connected: &Connected, stage: &Mutex<Stage>) -> Result<Answer> {
    let checkpointer = connected.checkpointer().await?;
    let mut stage = stage.lock().await;
    // A call that is dropped takes the list along, with a connection that it may be reading from.
    let mut list = match mem::replace(&mut *stage, Stage::Over) {
        Stage::Asked(selection) => checkpointer.list(selection.query()?),
        Stage::Begun(list) => list,
        Stage::Over => return Ok(Answer::Page(Vec::new())),
    };
    let page = read_page(checkpointer, &mut list).await?;
    *stage = Stage::Begun(list);
    Ok(Answer::Page(page))
}

/// Takes the next checkpoint, and those that were read with it. A further one would begin a read, which held
/// its connection until the next page is asked for.
async fn read_page(
    checkpointer: &dyn Checkpointer,
    list: &mut BoxStream<'static, Result<CheckpointTuple, Error>>,
) -> Result<Vec<Tuple>> {
    let mut page = Vec::new();
    while let Some(found) = list.next().await {
        page.push(tuple(checkpointer, found?).await?);
        let (were_read, _) = list.size_hint();
        if were_read == 0 || page.len() == PAGE {
            break;
        }
    }
    Ok(page)
}
