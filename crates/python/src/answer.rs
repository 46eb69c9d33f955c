//! What calls return, and how Python gets it.

use checkpointer::{ChannelHistory, CheckpointTuple, PendingWrite};
use langgraph::Serialized;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};
use serde_json::Value;

use crate::failure::Result;

/// What a call returns.
#[derive(Debug)]
pub(crate) enum Answer {
    Nothing,
    Tuple(Option<Box<Tuple>>),
    Page(Vec<Tuple>),
    Histories(Vec<History>),
}

/// A checkpoint with what belongs to it, as Python takes it: texts of JSON, and values as the bytes that
/// LangGraph's serialiser has made.
#[derive(Debug)]
pub(crate) struct Tuple {
    thread_id: String,
    checkpoint_ns: String,
    checkpoint_id: String,
    parent_id: Option<String>,
    checkpoint: String,
    metadata: String,
    values: Vec<(String, Serialized)>,
    writes: Vec<Write>,
    /// What the parent's tasks have sent, for checkpoints of a format that keeps it there.
    sends: Vec<Serialized>,
}

#[derive(Debug)]
struct Write {
    task_id: String,
    channel: String,
    value: Serialized,
}

/// The writes from which a channel is rebuilt.
#[derive(Debug)]
pub(crate) struct History {
    channel: String,
    writes: Vec<Write>,
    seed: Option<Serialized>,
}

impl Tuple {
    pub(crate) fn new(tuple: CheckpointTuple, sends: Vec<Serialized>) -> Result<Self> {
        let mut checkpoint = tuple.checkpoint;
        let values = std::mem::take(&mut checkpoint.channel_values);
        let values = values.into_iter();
        Ok(Self {
            thread_id: tuple.address.thread_id.to_string(),
            checkpoint_ns: tuple.address.checkpoint_ns.to_string(),
            checkpoint_id: tuple.address.checkpoint_id.to_string(),
            parent_id: tuple
                .parent_address
                .map(|parent| parent.checkpoint_id.to_string()),
            checkpoint: checkpoint.to_json().to_string(),
            metadata: Value::Object(tuple.metadata.into_map()).to_string(),
            values: values
                .map(|(channel, form)| Ok((channel, Serialized::from_json(&form)?)))
                .collect::<Result<_>>()?,
            writes: writes(tuple.pending_writes)?,
            sends,
        })
    }
}

impl History {
    pub(crate) fn new(channel: String, history: ChannelHistory) -> Result<Self> {
        let seed = history.seed.as_deref().map(Serialized::from_json);
        Ok(Self {
            channel,
            writes: writes(history.writes)?,
            seed: seed.transpose()?,
        })
    }
}

fn writes(pending: Vec<PendingWrite>) -> Result<Vec<Write>> {
    let pending = pending.into_iter();
    let write = |pending: PendingWrite| {
        Ok(Write {
            task_id: pending.task_id.to_string(),
            value: Serialized::from_json(&pending.value)?,
            channel: pending.channel,
        })
    };
    pending.map(write).collect()
}

impl Answer {
    pub(crate) fn into_python(self, py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        match self {
            Self::Nothing | Self::Tuple(None) => Ok(py.None().into_bound(py)),
            Self::Tuple(Some(tuple)) => Ok(tuple.to_python(py)?.into_any()),
            Self::Page(tuples) => list(py, &tuples, Tuple::to_python),
            Self::Histories(histories) => list(py, &histories, History::to_python),
        }
    }
}

impl Tuple {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let value = |(channel, value): &(String, Serialized), py| named(channel, value, py);
        let fields = [
            PyString::new(py, &self.thread_id).into_any(),
            PyString::new(py, &self.checkpoint_ns).into_any(),
            PyString::new(py, &self.checkpoint_id).into_any(),
            self.parent_id.as_ref().into_pyobject(py)?,
            PyString::new(py, &self.checkpoint).into_any(),
            PyString::new(py, &self.metadata).into_any(),
            list(py, &self.values, value)?,
            list(py, &self.writes, Write::to_python)?,
            list(py, &self.sends, typed)?,
        ];
        PyTuple::new(py, fields)
    }
}

impl History {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let seed = self.seed.as_ref().map(|seed| typed(seed, py)).transpose()?;
        let writes = list(py, &self.writes, Write::to_python)?;
        (&self.channel, writes, seed).into_pyobject(py)
    }
}

impl Write {
    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let value = typed(&self.value, py)?;
        (&self.task_id, &self.channel, value).into_pyobject(py)
    }
}

fn named<'py>(channel: &str, value: &Serialized, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
    (channel, typed(value, py)?).into_pyobject(py)
}

/// What `loads_typed` takes.
fn typed<'py>(value: &Serialized, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
    let bytes = PyBytes::new(py, &value.bytes);
    (PyString::intern(py, &value.type_name), bytes).into_pyobject(py)
}

fn list<'py, T>(
    py: Python<'py>,
    items: &[T],
    to_python: impl Fn(&T, Python<'py>) -> PyResult<Bound<'py, PyTuple>>,
) -> PyResult<Bound<'py, PyAny>> {
    let items: Vec<_> = items
        .iter()
        .map(|item| to_python(item, py))
        .collect::<PyResult<_>>()?;
    Ok(PyList::new(py, items)?.into_any())
}
