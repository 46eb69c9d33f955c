//! The calls that write.

use std::sync::Arc;

use checkpointer::{
    ChannelValues, ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs,
    Checkpointer as _, DeleteThread, Metadata, MissingParent, Prune, PruneStrategy, Put, PutWrites,
    TaskId, ThreadId, TrackedList, Version,
};
use langgraph::Serialized;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use serde_json::{Map, Value};

use crate::answer::Answer;
use crate::connected::Connected;
use crate::failure::Result;
use crate::lists::{KnownList, Lists};

/// A value as Python serialises it, under the name of its channel.
pub(crate) type Given<'py> = (String, String, Bound<'py, PyAny>);

/// The value of a channel: serialised, or a list of which the new items are.
#[derive(Debug, FromPyObject)]
pub(crate) enum GivenValue<'py> {
    Serialized(String, String, Bound<'py, PyAny>),
    List(String, Bound<'py, KnownList>),
}

/// The value of a channel on its way to its form as JSON.
#[derive(Debug)]
pub(crate) enum NewValue {
    Serialized(Serialized),
    List(TrackedList),
}

impl NewValue {
    fn insert(self, channel: String, into: &mut ChannelValues) {
        match self {
            Self::Serialized(value) => into.insert(channel, value.to_json()),
            Self::List(list) => into.insert_list(channel, &list),
        };
    }
}

/// Takes over the values of channels.
pub(crate) fn channels(
    given: Vec<GivenValue<'_>>,
    lists: &Lists,
) -> PyResult<Vec<(String, NewValue)>> {
    let value = |given| match given {
        GivenValue::Serialized(channel, type_name, bytes) => {
            let value = Serialized::new(type_name, bytes_of(&bytes)?);
            Ok((channel, NewValue::Serialized(value)))
        }
        GivenValue::List(channel, list) => {
            Ok((channel, NewValue::List(lists.remember(list.get())?)))
        }
    };
    given.into_iter().map(value).collect()
}

/// Takes over serialised values.
pub(crate) fn values(given: Vec<Given<'_>>) -> PyResult<Vec<(String, Serialized)>> {
    let value = |(channel, type_name, bytes): Given<'_>| {
        Ok((channel, Serialized::new(type_name, bytes_of(&bytes)?)))
    };
    given.into_iter().map(value).collect()
}

fn bytes_of(given: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = given.cast::<PyBytes>() {
        Ok(bytes.as_bytes().to_vec())
    } else if let Ok(bytes) = given.cast::<PyByteArray>() {
        Ok(bytes.to_vec())
    } else {
        let got = given.get_type();
        let expected = "the serialiser must return bytes";
        Err(PyTypeError::new_err(format!("{expected}, not {got}")))
    }
}

/// A checkpoint to put.
#[derive(Debug)]
pub(crate) struct NewCheckpoint {
    pub(crate) thread_id: String,
    pub(crate) checkpoint_ns: String,
    pub(crate) parent_id: Option<String>,
    /// LangGraph's object without its values, as JSON.
    pub(crate) checkpoint: String,
    pub(crate) metadata: String,
    pub(crate) new_versions: String,
    pub(crate) values: Vec<(String, NewValue)>,
}

impl NewCheckpoint {
    pub(crate) async fn put(self, connected: Arc<Connected>) -> Result<Answer> {
        let thread_id = ThreadId::new(self.thread_id)?;
        let checkpoint_ns = CheckpointNs::new(self.checkpoint_ns)?;
        let parent = self.parent_id.map(CheckpointId::new).transpose()?;
        let mut checkpoint = checkpoint(&self.checkpoint)?;
        for (channel, value) in self.values {
            value.insert(channel, &mut checkpoint.channel_values);
        }
        let metadata = Metadata::from(serde_json::from_str::<Map<String, Value>>(&self.metadata)?);
        let new_versions = versions(&self.new_versions)?;

        let mut put = Put::new(&thread_id, &checkpoint, &metadata)
            .in_ns(&checkpoint_ns)
            .new_versions(&new_versions)
            .missing_parent(MissingParent::Empty);
        put.parent = parent.as_ref();
        connected.checkpointer().await?.put(put).await?;
        Ok(Answer::Nothing)
    }
}

fn checkpoint(json: &str) -> Result<Checkpoint> {
    let mut fields: Map<String, Value> = serde_json::from_str(json)?;
    fields.insert("channel_values".to_owned(), Map::new().into());
    Ok(Checkpoint::from_json(Value::Object(fields))?)
}

fn versions(json: &str) -> Result<ChannelVersions> {
    let versions: Map<String, Value> = serde_json::from_str(json)?;
    let versions = versions.into_iter();
    Ok(versions
        .filter_map(|(channel, version)| Some((channel, Version::from_json(&version)?)))
        .collect())
}

/// The outputs of a task to put.
#[derive(Debug)]
pub(crate) struct NewWrites {
    pub(crate) thread_id: String,
    pub(crate) checkpoint_ns: String,
    pub(crate) checkpoint_id: String,
    pub(crate) task_id: String,
    pub(crate) task_path: String,
    pub(crate) writes: Vec<(String, Serialized)>,
}

impl NewWrites {
    pub(crate) async fn put(self, connected: Arc<Connected>) -> Result<Answer> {
        let address = CheckpointAddress::new(self.thread_id, self.checkpoint_id)?
            .in_ns(CheckpointNs::new(self.checkpoint_ns)?);
        let task_id = TaskId::new(self.task_id)?;
        let writes = self.writes.into_iter();
        let writes: Vec<_> = writes
            .map(|(channel, value)| (channel, value.to_json()))
            .collect();
        let put = PutWrites::new(&address, &task_id, &writes).task_path(&self.task_path);
        connected.checkpointer().await?.put_writes(put).await?;
        Ok(Answer::Nothing)
    }
}

pub(crate) async fn delete_thread(connected: Arc<Connected>, thread_id: String) -> Result<Answer> {
    let delete = DeleteThread::new(thread_id)?;
    connected
        .checkpointer()
        .await?
        .delete_thread(delete)
        .await?;
    Ok(Answer::Nothing)
}

pub(crate) async fn delete_for_runs(
    connected: Arc<Connected>,
    run_ids: Vec<String>,
) -> Result<Answer> {
    let checkpointer = connected.checkpointer().await?;
    checkpointer.delete_for_runs(&run_ids).await?.complete()?;
    Ok(Answer::Nothing)
}

pub(crate) async fn copy_thread(
    connected: Arc<Connected>,
    source: String,
    target: String,
) -> Result<Answer> {
    let (source, target) = (ThreadId::new(source)?, ThreadId::new(target)?);
    let checkpointer = connected.checkpointer().await?;
    checkpointer.copy_thread(&source, &target).await?;
    Ok(Answer::Nothing)
}

pub(crate) async fn prune(
    connected: Arc<Connected>,
    thread_ids: Vec<String>,
    strategy: PruneStrategy,
) -> Result<Answer> {
    let prune = Prune::new(thread_ids, strategy)?;
    let checkpointer = connected.checkpointer().await?;
    checkpointer.prune(prune).await?.complete()?;
    Ok(Answer::Nothing)
}
