//! The lines of a trace.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use checkpointer::{
    ChannelHistory, Checkpoint, CheckpointAddress, CheckpointId, CheckpointNs, CheckpointTuple,
    PendingWrite, ThreadId,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

/// One call, and the recorded answer.
#[derive(Debug)]
pub(crate) enum Op {
    GetTuple(GetTuple),
    List(List),
    Put(Put),
    PutWrites(PutWrites),
    DeleteThread(DeleteThread),
    Prune(Prune),
    ChannelHistory(History),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) thread_id: String,
    #[serde(default)]
    pub(crate) checkpoint_ns: Option<String>,
    #[serde(default)]
    pub(crate) checkpoint_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GetTuple {
    pub(crate) config: Config,
    pub(crate) expect: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct List {
    pub(crate) config: Option<Config>,
    pub(crate) filter: Option<Map<String, Value>>,
    pub(crate) before: Option<BeforeConfig>,
    pub(crate) limit: Option<usize>,
    pub(crate) expect: Vec<Value>,
}

/// Of a `before` only the id counts.
#[derive(Debug, Deserialize)]
pub(crate) struct BeforeConfig {
    #[serde(default)]
    pub(crate) checkpoint_id: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    pub(crate) config: Config,
    pub(crate) checkpoint: Value,
    pub(crate) metadata: Map<String, Value>,
    pub(crate) new_versions: Map<String, Value>,
    pub(crate) expect: Value,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PutWrites {
    pub(crate) config: Config,
    pub(crate) writes: Vec<(String, Value)>,
    pub(crate) task_id: String,
    #[serde(default)]
    pub(crate) task_path: String,
    #[serde(default, rename = "expect")]
    _expect: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteThread {
    pub(crate) thread_id: String,
    #[serde(default, rename = "expect")]
    _expect: Option<IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prune {
    pub(crate) thread_ids: Vec<String>,
    pub(crate) strategy: Strategy,
    #[serde(default, rename = "expect")]
    _expect: Option<IgnoredAny>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Strategy {
    KeepLatest,
    Delete,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    pub(crate) config: Config,
    pub(crate) channels: Vec<String>,
    pub(crate) expect: Value,
}

impl Op {
    /// Reads the line with the number `line`.
    pub(crate) fn parse(line: usize, text: &str) -> Result<Self> {
        let malformed = || format!("line {line} can't be understood");
        let mut fields: Map<String, Value> = serde_json::from_str(text).with_context(malformed)?;
        let op = fields.remove("op").unwrap_or_default();
        let fields = Value::Object(fields);
        match op.as_str() {
            Some("get_tuple") => serde_json::from_value(fields).map(Self::GetTuple),
            Some("list") => serde_json::from_value(fields).map(Self::List),
            Some("put") => serde_json::from_value(fields).map(Self::Put),
            Some("put_writes") => serde_json::from_value(fields).map(Self::PutWrites),
            Some("delete_thread") => serde_json::from_value(fields).map(Self::DeleteThread),
            Some("prune") => serde_json::from_value(fields).map(Self::Prune),
            Some("get_delta_channel_history") => {
                serde_json::from_value(fields).map(Self::ChannelHistory)
            }
            _ => {
                let op = op.as_str().map_or_else(|| op.to_string(), str::to_owned);
                bail!("line {line} has the unknown op `{op}`");
            }
        }
        .with_context(malformed)
    }

    /// The call's name in the trace.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::GetTuple(_) => "get_tuple",
            Self::List(_) => "list",
            Self::Put(_) => "put",
            Self::PutWrites(_) => "put_writes",
            Self::DeleteThread(_) => "delete_thread",
            Self::Prune(_) => "prune",
            Self::ChannelHistory(_) => "get_delta_channel_history",
        }
    }
}

impl Config {
    pub(crate) fn thread_id(&self) -> checkpointer::Result<ThreadId> {
        ThreadId::new(&self.thread_id)
    }

    /// The namespace; without one it is the root graph's.
    pub(crate) fn ns(&self) -> checkpointer::Result<CheckpointNs> {
        CheckpointNs::new(self.checkpoint_ns.as_deref().unwrap_or_default())
    }

    pub(crate) fn id(&self) -> checkpointer::Result<Option<CheckpointId>> {
        id(self.checkpoint_id.as_deref())
    }

    /// The query for the checkpoint it addresses, or for the head.
    pub(crate) fn target(&self) -> checkpointer::Result<checkpointer::GetTuple> {
        let mut target = checkpointer::GetTuple::head(&self.thread_id)?.in_ns(self.ns()?);
        target.checkpoint_id = self.id()?;
        Ok(target)
    }
}

/// The id in a config; LangGraph takes an empty one for none.
pub(crate) fn id(id: Option<&str>) -> checkpointer::Result<Option<CheckpointId>> {
    let id = id.filter(|id| !id.is_empty());
    id.map(CheckpointId::new).transpose()
}

/// An address as a trace has it.
pub(crate) fn config_json(config: &CheckpointAddress) -> Value {
    json!({
        "thread_id": config.thread_id.as_str(),
        "checkpoint_ns": config.checkpoint_ns.as_str(),
        "checkpoint_id": config.checkpoint_id.as_str(),
    })
}

/// A tuple as a trace has it.
pub(crate) fn tuple_json(tuple: &CheckpointTuple) -> Value {
    json!({
        "config": config_json(&tuple.address),
        "checkpoint": tuple.checkpoint.to_json(),
        "metadata": tuple.metadata.as_map(),
        "parent_config": tuple.parent_address.as_ref().map(config_json),
        "pending_writes": writes_json(&tuple.pending_writes),
    })
}

/// The history of a channel as a trace has it.
pub(crate) fn history_json(history: ChannelHistory) -> Value {
    let mut json = Map::new();
    json.insert("writes".to_owned(), writes_json(&history.writes));
    if let Some(seed) = history.seed {
        json.insert("seed".to_owned(), Arc::unwrap_or_clone(seed));
    }
    Value::Object(json)
}

fn writes_json(writes: &[PendingWrite]) -> Value {
    let writes = writes.iter();
    let writes = writes.map(|write| json!([write.task_id.as_str(), write.channel, *write.value]));
    writes.collect()
}

/// Reads the checkpoint of a put, and the versions that are new.
pub(crate) fn checkpoint(
    put: &Put,
) -> checkpointer::Result<(Checkpoint, checkpointer::ChannelVersions)> {
    let checkpoint = Checkpoint::from_json(put.checkpoint.clone())?;
    // The versions are read like a checkpoint's own.
    let mut shape = Checkpoint::new(checkpoint.id.clone()).to_json();
    shape["channel_versions"] = Value::Object(put.new_versions.clone());
    let new_versions = Checkpoint::from_json(shape)?.channel_versions;
    Ok((checkpoint, new_versions))
}
