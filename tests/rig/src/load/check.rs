//! Looks for violations of the guarantees in what is stored.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use checkpointer::{
    CheckpointId, CheckpointTuple, Checkpointer, GetTuple, List, PostgresCheckpointer, ThreadId,
};
use db::{Database, GenericClient, Statement, Type, quote_identifier};
use futures_util::TryStreamExt;
use serde_json::Value;

use super::agent::{number, outputs, task_id};
use super::plan::{MESSAGES, Message};
use super::{Life, Plan, rows};
use crate::{in_one_line, without_orders};
/// Looks at what is stored, and says what violates the guarantees.
#[derive(Debug, Clone)]
pub struct Checker {
    database: Database,
    checkpointer: PostgresCheckpointer,
}

/// The checkpoints of one agent, as they are stored.
struct Stored<'a> {
    plan: &'a Plan,
    life: &'a Life,
    thread_id: ThreadId,
    by_number: BTreeMap<u64, (CheckpointTuple, Vec<Message>)>,
    wrong: Vec<String>,
}

impl Checker {
    /// Makes the tables, and uses them.
    pub async fn setup(database: Database) -> Result<Self> {
        let checkpointer = PostgresCheckpointer::setup(database.clone()).await;
        Ok(Self {
            database,
            checkpointer: checkpointer.context("make the tables")?,
        })
    }

    /// Returns the checkpointer that it reads with.
    pub fn checkpointer(&self) -> &PostgresCheckpointer {
        &self.checkpointer
    }

    /// Returns the database that it looks at.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Checks all that is stored of an agent against its plan and against what was acknowledged
    /// before the call. Nothing else may write to the thread meanwhile.
    pub async fn agent(&self, plan: &Plan, life: &Life) -> Result<Vec<String>> {
        let thread_id = plan.thread_id().context("call the checkpointer")?;
        self.thread(&thread_id, plan, life).await
    }

    /// Checks, as [`agent`](Self::agent) does, a thread that holds what the agent's did: a copy of
    /// it.
    pub async fn thread(
        &self,
        thread_id: &ThreadId,
        plan: &Plan,
        life: &Life,
    ) -> Result<Vec<String>> {
        let listed = self.checkpointer.list(List::thread(thread_id)?);
        let listed: Vec<CheckpointTuple> = match listed.try_collect().await {
            Ok(listed) => listed,
            Err(error) => return damage(thread_id, error),
        };
        let mut stored = Stored {
            plan,
            life,
            thread_id: thread_id.clone(),
            by_number: BTreeMap::new(),
            wrong: Vec::new(),
        };
        let states = self.states(&stored.thread_id).await?;
        for tuple in listed {
            let state = states.get(tuple.address.checkpoint_id.as_str());
            let values = Value::from(tuple.checkpoint.channel_values.clone());
            if state != Some(&values) {
                stored.say(number(&tuple), "isn't what `state` says in SQL");
            }
            match self
                .checkpointer
                .get_tuple(GetTuple::at(&tuple.address))
                .await
            {
                Ok(read) if read.as_ref() == Some(&tuple) => {}
                Ok(_) => stored.say(number(&tuple), "is listed as another than it is read"),
                Err(error) => return damage(&stored.thread_id, error),
            }
            stored.add(tuple);
        }
        match self
            .checkpointer
            .get_tuple(GetTuple::head(&stored.thread_id)?)
            .await
        {
            Ok(head) => stored.check_head(head.as_ref().map(|head| &head.address.checkpoint_id)),
            Err(error) => return damage(&stored.thread_id, error),
        }
        stored.check_chain();
        stored.check_acknowledged();
        Ok(stored.wrong)
    }

    /// Checks what must hold of the tables at any moment, of all threads.
    pub async fn tables(&self) -> Result<Vec<String>> {
        rows::violations(&self.database).await
    }

    /// Finds chunks that nothing refers to in the threads of agents that can't have left any: each
    /// task ran once, nothing was pruned, and there is no writer at the moment.
    pub async fn waste(&self, agents: &[(Plan, Life)]) -> Result<Vec<String>> {
        let unreferenced = rows::unreferenced(&self.database).await?;
        let mut wrong = Vec::new();
        for (plan, life) in agents {
            let thread_id = plan.thread_id().context("call the checkpointer")?;
            if let Some(count) = unreferenced.get(thread_id.as_str())
                && !life.is_contested()
            {
                wrong.push(format!("{thread_id}: nothing refers to {count} chunks"));
            }
        }
        Ok(wrong)
    }

    /// The states of a thread's checkpoints, as SQL puts them together.
    async fn states(&self, thread_id: &ThreadId) -> Result<BTreeMap<String, Value>> {
        let schema = quote_identifier(PostgresCheckpointer::migrations().schema(&self.database));
        let sql = format!(
            "-- rig::states
SELECT checkpoint_id, {schema}.state(thread_id, checkpoint_ns, checkpoint_id)::text
FROM {schema}.checkpoints WHERE thread_id = $1"
        );
        let statement = Statement::from_parts(sql, vec![Type::TEXT]);
        let rows = async {
            let connection = self.database.get().await?;
            connection.query(&statement, &[&thread_id.as_str()]).await
        };
        let rows = rows.await.context("look at the tables")?;
        let states = rows.iter().map(|row| {
            let state = serde_json::from_str(row.get(1)).unwrap_or_default();
            (row.get(0), without_orders(state))
        });
        Ok(states.collect())
    }
}

impl Stored<'_> {
    fn say(&mut self, number: Option<u64>, what: impl AsRef<str>) {
        let (thread_id, what) = (&self.thread_id, what.as_ref());
        self.wrong.push(match number {
            Some(number) => format!("{thread_id}: checkpoint {number} {what}"),
            None => format!("{thread_id}: {what}"),
        });
    }

    /// Takes in a checkpoint, after checking it by itself.
    fn add(&mut self, tuple: CheckpointTuple) {
        let Some(number) = number(&tuple) else {
            return self.say(None, "a checkpoint has no number");
        };
        let messages = match self.plan.check(number, &tuple.checkpoint) {
            Ok(messages) => messages,
            Err(wrong) => {
                self.say(Some(number), wrong);
                Vec::new()
            }
        };
        if self.by_number.insert(number, (tuple, messages)).is_some() {
            self.say(Some(number), "is there twice");
        }
    }

    fn check_head(&mut self, head: Option<&CheckpointId>) {
        let last = self.by_number.last_key_value();
        let last = last.map(|(number, (tuple, _))| (*number, tuple.address.checkpoint_id.clone()));
        if head != last.as_ref().map(|(_, id)| id) {
            self.say(None, format!("the head is {head:?}, the last is {last:?}"));
        }
    }

    /// Each checkpoint follows the right one, and took over what was recorded there.
    fn check_chain(&mut self) {
        let last = self.by_number.keys().next_back().copied();
        for number in 0..last.map_or(0, |last| last + 1) {
            if !self.by_number.contains_key(&number) && !self.life.pruned {
                self.say(Some(number), "is missing");
            }
        }
        let mut wrong = Vec::new();
        for (number, (tuple, messages)) in &self.by_number {
            let parent = self.parent_of(tuple);
            if !self.life.pruned && *number > 0 {
                let expected = self.expected_parent(*number);
                if parent.map(|(number, _)| number) != expected {
                    let parent = parent.map(|(number, _)| number);
                    wrong.push((*number, format!("follows {parent:?}, not {expected:?}")));
                }
            }
            let Some((_, (parent, before))) = parent else {
                continue;
            };
            let recorded = match outputs(self.plan, *number, parent) {
                Ok(outputs) => outputs,
                Err(error) => {
                    wrong.push((*number, in_one_line(&error)));
                    continue;
                }
            };
            let recorded = recorded.iter().filter(|(channel, _)| channel == MESSAGES);
            let recorded: Vec<_> = recorded.map(|(_, value)| value).collect();
            let stored = tuple.checkpoint.channel_values.get(MESSAGES);
            let stored = stored.and_then(Value::as_array);
            let new = stored.and_then(|stored| stored.get(before.len()..));
            let is_as_recorded = new.is_some_and(|new| new.iter().eq(recorded));
            if !is_as_recorded || messages.get(..before.len()) != Some(before) {
                wrong.push((*number, "isn't its parent and what was recorded".to_owned()));
            }
        }
        for (number, what) in wrong {
            self.say(Some(number), what);
        }
    }

    fn parent_of(
        &self,
        tuple: &CheckpointTuple,
    ) -> Option<(u64, &(CheckpointTuple, Vec<Message>))> {
        let parent = &tuple.parent_address.as_ref()?.checkpoint_id;
        let mut stored = self.by_number.iter();
        stored
            .find(|(_, (tuple, _))| tuple.address.checkpoint_id == *parent)
            .map(|(number, stored)| (*number, stored))
    }

    /// The number of the checkpoint that the plan makes the parent of another.
    fn expected_parent(&self, number: u64) -> Option<u64> {
        let mut at = number.checked_sub(1)?;
        for _ in 0..self.plan.fork(number).unwrap_or_default() {
            match self
                .by_number
                .get(&at)
                .and_then(|(tuple, _)| self.parent_of(tuple))
            {
                Some((parent, _)) => at = parent,
                None => break,
            }
        }
        Some(at)
    }

    /// What was acknowledged is there.
    fn check_acknowledged(&mut self) {
        let life = self.life;
        let last = self.by_number.last_key_value();
        let last = last.map(|(number, (_, messages))| (*number, messages.clone()));
        if life.last_put() > last.as_ref().map(|(number, _)| *number) {
            let acknowledged = life.last_put();
            self.say(acknowledged, "was acknowledged, and the head is older");
        }
        for (number, id) in &life.put {
            match self.by_number.get(number) {
                Some((tuple, _)) if tuple.address.checkpoint_id.as_str() == id => {}
                Some(_) => self.say(Some(*number), "is another than was acknowledged"),
                None if life.pruned => {}
                None => self.say(Some(*number), "was acknowledged, and is missing"),
            }
        }
        let written: BTreeMap<_, _> = self.by_number.values().flat_map(writes).collect();
        let taken: BTreeMap<_, _> = (last.iter())
            .flat_map(|(_, messages)| messages)
            .map(|message| ((message.number, message.task), message.attempt))
            .collect();
        for ((number, task), recorded) in &life.recorded {
            let begun = life.begun.get(&(*number, *task));
            let is_right = |attempt: u32| match begun {
                Some(begun) if begun.len() > 1 => begun.contains(&attempt),
                _ => attempt == *recorded,
            };
            let stored = task_id(*number, *task).ok();
            let stored = stored.and_then(|task_id| written.get(task_id.as_str()));
            let of_head = taken.get(&(*number, *task)).copied();
            let wrong = match (stored.copied(), of_head) {
                _ if life.pruned => of_head.is_some_and(|taken| !is_right(taken)),
                (Some(stored), taken) => {
                    !is_right(stored) || taken.is_some_and(|taken| taken != stored)
                }
                (None, _) => true,
            };
            if wrong {
                let what = format!("lacks the output of task {task}, which was acknowledged");
                self.say(Some(*number), what);
            }
        }
    }
}

/// Which attempt of each task is recorded at a checkpoint.
fn writes((tuple, _): &(CheckpointTuple, Vec<Message>)) -> impl Iterator<Item = (String, u32)> {
    let writes = tuple.pending_writes.iter();
    writes.filter_map(|write| {
        let attempt = write.value.get("attempt")?.as_u64()?;
        let attempt = u32::try_from(attempt).ok()?;
        Some((write.task_id.as_str().to_owned(), attempt))
    })
}

/// What can't be read because it is damaged is a violation, anything else an error.
fn damage(thread_id: &ThreadId, error: checkpointer::Error) -> Result<Vec<String>> {
    match error {
        checkpointer::Error::Corrupt { .. } => {
            Ok(vec![format!("{thread_id}: {}", in_one_line(&error))])
        }
        error => Err(error).context("call the checkpointer"),
    }
}
