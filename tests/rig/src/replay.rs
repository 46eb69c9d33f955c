//! Repeats a trace and compares the answers.

use std::collections::BTreeMap;
use std::fmt;
use std::io::BufRead;

use anyhow::{Context as _, Result};
use checkpointer::{
    Checkpoint, CheckpointAddress, Checkpointer, GetChannelHistory, GetTuple, List, Metadata,
    Prune, PruneStrategy, Put, PutWrites, Removed, TaskId,
};
use futures_util::TryStreamExt;
use serde_json::{Map, Value};

use crate::compare::{Rule, difference};
use crate::special::SpecialWrites;
use crate::trace::{self, Op, Strategy};
use crate::{Difference, in_one_line};

/// What came of a trace.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// How often each call was made, by its name in the trace.
    pub calls: BTreeMap<&'static str, usize>,
    /// How many answers agree with what the contract makes of the recorded ones, where it is meant
    /// to differ: special writes in a mixed call replace.
    pub by_design: usize,
    /// How many answers differ.
    pub disagreements: usize,
    /// The first that does.
    pub first: Option<Disagreement>,
}

/// A call whose answer isn't the recorded one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Disagreement {
    /// The line, counted from 1.
    pub line: usize,
    /// The call's name in the trace.
    pub op: &'static str,
    /// Which of its answers differs.
    pub answer: Answer,
}

/// What differs.
#[derive(Debug)]
#[non_exhaustive]
pub enum Answer {
    /// The answer, from the recorded one.
    Recorded(Difference),
    /// What is read back, from what was put.
    ReadBack(Difference),
    /// The call failed.
    Failed(checkpointer::Error),
}

impl Report {
    /// Whether every answer agrees.
    pub fn agrees(&self) -> bool {
        self.disagreements == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: usize = self.calls.values().sum();
        if self.agrees() {
            write!(f, "all {calls} calls agree")?;
        } else {
            write!(f, "{} of {calls} calls differ", self.disagreements)?;
        }
        let counts = self.calls.iter();
        let counts: Vec<_> = counts.map(|(op, count)| format!("{count} {op}")).collect();
        write!(f, " ({})", counts.join(", "))?;
        if self.by_design > 0 {
            let by_design = self.by_design;
            write!(
                f,
                "; {by_design} by design: special writes of a mixed call replace"
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, op, answer } = self;
        match answer {
            Answer::Recorded(difference) => {
                write!(
                    f,
                    "line {line}, {op}: not the recorded answer\n{difference}"
                )
            }
            Answer::ReadBack(difference) => {
                write!(
                    f,
                    "line {line}, {op}: read back, not what was put\n{difference}"
                )
            }
            Answer::Failed(error) => {
                let error = in_one_line(error);
                write!(f, "line {line}, {op}: failed: {error}")
            }
        }
    }
}

/// Makes the calls of `trace` on a checkpointer whose store is empty, and compares each answer.
///
/// Each checkpoint put is read back as well, and compared strictly with what was put. A call that
/// fails ends the replay: nothing after it can be told from a consequence.
pub async fn replay(checkpointer: &dyn Checkpointer, mut trace: impl BufRead) -> Result<Report> {
    let mut report = Report::default();
    let mut special = SpecialWrites::default();
    let mut text = String::new();
    for line in 1.. {
        text.clear();
        let read = trace.read_line(&mut text);
        if read.with_context(|| format!("read line {line}"))? == 0 {
            break;
        }
        if text.trim().is_empty() {
            continue;
        }
        let op = Op::parse(line, &text)?;
        let name = op.name();
        *report.calls.entry(name).or_default() += 1;
        let answer = match call(checkpointer, op, &mut special).await {
            Ok(Outcome::Agrees) => continue,
            Ok(Outcome::AgreesByDesign) => {
                report.by_design += 1;
                continue;
            }
            Ok(Outcome::Differs(answer)) => answer,
            Err(Failure::Unaskable(error)) => {
                return Err(error)
                    .with_context(|| format!("line {line} can't be asked of a checkpointer"));
            }
            Err(Failure::Failed(error)) => Answer::Failed(error),
        };
        let failed = matches!(answer, Answer::Failed(_));
        report.disagreements += 1;
        report.first.get_or_insert(Disagreement {
            line,
            op: name,
            answer,
        });
        if failed {
            break;
        }
    }
    Ok(report)
}

/// What came of a call.
enum Outcome {
    Agrees,
    AgreesByDesign,
    Differs(Answer),
}

/// Why there is no answer to compare.
enum Failure {
    /// The line can't be made a call.
    Unaskable(checkpointer::Error),
    /// The call failed.
    Failed(checkpointer::Error),
}

/// Makes a call and compares its answer.
async fn call(
    checkpointer: &dyn Checkpointer,
    op: Op,
    special: &mut SpecialWrites,
) -> Result<Outcome, Failure> {
    use Failure::{Failed, Unaskable};

    let mut by_design = false;
    let (expected, got) = match op {
        Op::Put(put) => {
            let differs = self::put(checkpointer, &put).await?;
            return Ok(differs.map_or(Outcome::Agrees, Outcome::Differs));
        }
        Op::GetTuple(mut get) => {
            let query = get.config.target().map_err(Unaskable)?;
            let found = checkpointer.get_tuple(query).await.map_err(Failed)?;
            let found = found.as_ref().map(trace::tuple_json);
            by_design |= special.amend(&mut get.expect);
            (get.expect, found.unwrap_or_default())
        }
        Op::List(mut list) => {
            let query = query(&list).map_err(Unaskable)?;
            let listed = checkpointer.list(query);
            let listed = listed.map_ok(|tuple| trace::tuple_json(&tuple));
            let listed: Vec<Value> = listed.try_collect().await.map_err(Failed)?;
            for tuple in &mut list.expect {
                by_design |= special.amend(tuple);
            }
            (list.expect.into(), listed.into())
        }
        Op::ChannelHistory(history) => {
            let target = history.config.target();
            let query = target
                .and_then(|target| GetChannelHistory::new(target, history.channels))
                .map_err(Unaskable)?;
            let found = checkpointer.channel_history(query).await.map_err(Failed)?;
            let found = found.into_iter();
            let found = found.map(|(channel, history)| (channel, trace::history_json(history)));
            (history.expect, found.collect())
        }
        Op::PutWrites(put) => {
            put_writes(checkpointer, &put).await?;
            special.put(&put);
            return Ok(Outcome::Agrees);
        }
        Op::DeleteThread(delete) => {
            let request = checkpointer::DeleteThread::new(&delete.thread_id).map_err(Unaskable)?;
            checkpointer.delete_thread(request).await.map_err(Failed)?;
            special.delete_thread(&delete.thread_id);
            return Ok(Outcome::Agrees);
        }
        Op::Prune(prune) => {
            let strategy = match prune.strategy {
                Strategy::KeepLatest => PruneStrategy::KeepLatest,
                Strategy::Delete => PruneStrategy::Delete,
            };
            let request = Prune::new(&prune.thread_ids, strategy).map_err(Unaskable)?;
            let removed = checkpointer.prune(request).await;
            removed.and_then(Removed::complete).map_err(Failed)?;
            if let Strategy::Delete = prune.strategy {
                for thread_id in &prune.thread_ids {
                    special.delete_thread(thread_id);
                }
            }
            return Ok(Outcome::Agrees);
        }
    };
    Ok(match difference(&expected, &got, Rule::Recorded) {
        Some(difference) => Outcome::Differs(Answer::Recorded(difference)),
        None if by_design => Outcome::AgreesByDesign,
        None => Outcome::Agrees,
    })
}

fn query(list: &trace::List) -> checkpointer::Result<List> {
    let mut query = List::all();
    if let Some(config) = &list.config {
        query.thread_id = Some(config.thread_id()?);
        query.checkpoint_id = config.id()?;
        if config.checkpoint_ns.is_some() {
            query.checkpoint_ns = Some(config.ns()?);
        }
    }
    if let Some(before) = &list.before {
        query.before = trace::id(before.checkpoint_id.as_deref())?;
    }
    query.filter = list.filter.clone();
    query.limit = list.limit;
    Ok(query)
}

async fn put_writes(
    checkpointer: &dyn Checkpointer,
    put: &trace::PutWrites,
) -> Result<(), Failure> {
    let address = || {
        let target = put.config.target()?;
        let missing = checkpointer::CheckpointId::new("");
        let id = target.checkpoint_id.map_or(missing, Ok)?;
        let config = CheckpointAddress::new(target.thread_id, id)?.in_ns(target.checkpoint_ns);
        Ok((config, TaskId::new(&put.task_id)?))
    };
    let (config, task_id) = address().map_err(Failure::Unaskable)?;
    let writes = PutWrites::new(&config, &task_id, &put.writes).task_path(&put.task_path);
    checkpointer
        .put_writes(writes)
        .await
        .map_err(Failure::Failed)
}

/// Puts a checkpoint, compares the answer, and what is read back.
async fn put(checkpointer: &dyn Checkpointer, put: &trace::Put) -> Result<Option<Answer>, Failure> {
    use Failure::{Failed, Unaskable};

    let target = put.config.target().map_err(Unaskable)?;
    let (checkpoint, new_versions) = trace::checkpoint(put).map_err(Unaskable)?;
    let metadata = Metadata::from(put.metadata.clone());
    let mut request = Put::new(&target.thread_id, &checkpoint, &metadata)
        .in_ns(&target.checkpoint_ns)
        .new_versions(&new_versions);
    request.parent = target.checkpoint_id.as_ref();
    let config = checkpointer.put(request).await.map_err(Failed)?;
    let answer = trace::config_json(&config);
    if let Some(difference) = difference(&put.expect, &answer, Rule::Recorded) {
        return Ok(Some(Answer::Recorded(difference)));
    }

    let stored = checkpointer.get_tuple(GetTuple::at(&config)).await;
    let stored = stored.map_err(Failed)?;
    let parent = stored
        .as_ref()
        .and_then(|stored| stored.parent_address.as_ref());
    let parent = match parent {
        Some(parent) => checkpointer.get_tuple(GetTuple::at(parent)).await,
        None => Ok(None),
    };
    let parent = parent.map_err(Failed)?.map(|parent| parent.checkpoint);
    let got = stored.map(|stored| tuple(stored.checkpoint.to_json(), stored.metadata));
    let put = tuple(
        inherited(checkpoint, &new_versions, parent.as_ref()),
        metadata,
    );
    let difference = difference(&put, &got.unwrap_or_default(), Rule::Strict);
    Ok(difference.map(Answer::ReadBack))
}

/// What of a tuple a put says.
fn tuple(checkpoint: Value, metadata: Metadata) -> Value {
    let metadata = Value::Object(metadata.into_map());
    let fields = [("checkpoint", checkpoint), ("metadata", metadata)];
    let fields = fields.map(|(name, value)| (name.to_owned(), value));
    Value::Object(Map::from_iter(fields))
}

/// The checkpoint with the values it takes over from its parent: those of channels that aren't
/// mentioned and have the parent's version.
fn inherited(
    checkpoint: Checkpoint,
    new_versions: &checkpointer::ChannelVersions,
    parent: Option<&Checkpoint>,
) -> Value {
    let mut whole = checkpoint;
    for (channel, value) in parent.iter().flat_map(|parent| &parent.channel_values) {
        let versions = [Some(&whole), parent].map(|of| of?.channel_versions.get(channel));
        let is_same = versions[0].is_some() && versions[0] == versions[1];
        if is_same && !new_versions.contains_key(channel) {
            let values = &mut whole.channel_values;
            if !values.contains_key(channel) {
                values.insert(channel, value.clone());
            }
        }
    }
    whole.to_json()
}
