//! An agent whose work can be checked.

use std::sync::Arc;

use checkpointer::{
    Checkpoint, CheckpointId, CheckpointTuple, Checkpointer, Error, GetTuple, Metadata,
    PostgresCheckpointer, Put, PutWrites, Source, TaskId, ThreadId,
};
use futures_util::future::try_join_all;
use serde_json::{Map, Value};

use super::plan::{FILES_CHANNEL, MESSAGES, PLAN};
use super::{Event, Fact, Plan};
use crate::in_one_line;

/// How many checkpoints of an agent belong to one run.
const RUN: u64 = 8;

/// An agent that follows its plan, and says what has happened.
///
/// It goes on from what is stored, as after a crash: it reads the head, runs the tasks whose
/// outputs aren't recorded, takes over what is recorded and puts the next checkpoint, guarded by
/// the head.
#[derive(Debug)]
pub struct Agent<R> {
    plan: Plan,
    checkpointer: PostgresCheckpointer,
    report: R,
}

/// How a step ended.
enum Step {
    Put,
    Finished,
    Gone,
}

impl<R: Fn(Fact)> Agent<R> {
    /// Makes an agent, which tells `report` what has happened.
    pub fn new(plan: Plan, checkpointer: PostgresCheckpointer, report: R) -> Self {
        Self {
            plan,
            checkpointer,
            report,
        }
    }

    /// Works until the last checkpoint is stored, or the thread is gone. `begun` says that the
    /// thread was there before, so that it isn't made again if it was deleted.
    pub async fn run(&self, mut begun: bool) {
        loop {
            match self.step(&mut begun).await {
                Ok(Step::Put) => {}
                Ok(Step::Finished) => return self.say(Event::Finished),
                Ok(Step::Gone) | Err(Error::ThreadDeleted { .. }) => return self.say(Event::Gone),
                Err(Error::Conflict { .. }) => self.say(Event::Conflict),
                Err(error) if error.is_transient() || error.is_outcome_unknown() => {
                    self.say(Event::Interrupted(in_one_line(&error)));
                }
                Err(error) => return self.say(Event::Violation(in_one_line(&error))),
            }
        }
    }

    async fn step(&self, begun: &mut bool) -> Result<Step, Error> {
        let thread_id = self.plan.thread_id()?;
        let head = self.checkpointer.get_tuple(GetTuple::head(&thread_id)?);
        let Some(head) = head.await? else {
            if *begun {
                return Ok(Step::Gone);
            }
            self.put_first(&thread_id).await?;
            *begun = true;
            return Ok(Step::Put);
        };
        *begun = true;
        let number = number(&head).unwrap_or_default() + 1;
        if number > self.plan.steps {
            return Ok(Step::Finished);
        }
        let back = self.plan.fork(number).unwrap_or_default();
        let parent = self.ancestor(&head, back).await?;
        self.run_tasks(number, &parent).await?;
        // What is stored counts: another process may have recorded a task meanwhile.
        let Some(parent) = self.read(&parent).await? else {
            // Pruned meanwhile: back to the head.
            return Ok(Step::Put);
        };
        self.put_next(number, &parent, &head.address.checkpoint_id)
            .await?;
        Ok(Step::Put)
    }

    /// The checkpoint by so many generations older than `head`; the head itself if that was pruned.
    async fn ancestor(&self, head: &CheckpointTuple, back: u64) -> Result<CheckpointTuple, Error> {
        let mut at = head.clone();
        for _ in 0..back {
            let Some(parent) = &at.parent_address else {
                break;
            };
            match self.checkpointer.get_tuple(GetTuple::at(parent)).await? {
                Some(parent) => at = parent,
                None => return Ok(head.clone()),
            }
        }
        Ok(at)
    }

    async fn read(&self, at: &CheckpointTuple) -> Result<Option<CheckpointTuple>, Error> {
        self.checkpointer.get_tuple(GetTuple::at(&at.address)).await
    }

    /// Runs, beside each other, the tasks whose outputs aren't recorded.
    async fn run_tasks(&self, number: u64, parent: &CheckpointTuple) -> Result<(), Error> {
        let tasks = (0..self.plan.tasks(number)).map(async |task| {
            let task_id = task_id(number, task)?;
            let mut recorded = parent.pending_writes.iter();
            if recorded.any(|write| write.task_id == task_id) {
                return Ok::<_, Error>(());
            }
            let attempt = fastrand::u32(..);
            self.say(Event::Begun {
                number,
                task,
                attempt,
            });
            let output = self.plan.output(number, task, attempt);
            let writes = PutWrites::new(&parent.address, &task_id, &output);
            self.checkpointer.put_writes(writes).await?;
            self.say(Event::Recorded {
                number,
                task,
                attempt,
            });
            Ok(())
        });
        try_join_all(tasks).await?;
        Ok(())
    }

    async fn put_first(&self, thread_id: &ThreadId) -> Result<(), Error> {
        let mut checkpoint = Checkpoint::new(CheckpointId::generate(None));
        let input = self.plan.output(0, 0, 0);
        let input = input.into_iter().filter(|(channel, _)| channel == MESSAGES);
        let values = self.plan.values(0, Vec::new(), Map::new(), input);
        let mut values: Vec<_> = values.into_iter().collect();
        values.push((PLAN, Some(self.plan.constant())));
        let changed = checkpoint.write(&self.checkpointer, values);
        let metadata = self.metadata(Source::Input, 0, -1);
        let put = Put::new(thread_id, &checkpoint, &metadata)
            .new_versions(&changed)
            .expect_no_head();
        let put = self.checkpointer.put(put).await?;
        self.say(Event::put(0, &put.checkpoint_id));
        Ok(())
    }

    /// Puts the checkpoint that follows `parent`.
    async fn put_next(
        &self,
        number: u64,
        parent: &CheckpointTuple,
        head: &CheckpointId,
    ) -> Result<(), Error> {
        let mut checkpoint = Checkpoint::child_of(parent);
        let values = &mut checkpoint.channel_values;
        let messages = match values.remove(MESSAGES).map(Arc::unwrap_or_clone) {
            Some(Value::Array(messages)) => messages,
            _ => Vec::new(),
        };
        let files = match values.remove(FILES_CHANNEL).map(Arc::unwrap_or_clone) {
            Some(Value::Object(files)) => files,
            _ => Map::new(),
        };
        let outputs = outputs(&self.plan, number, parent)?;
        let values = self.plan.values(number, messages, files, outputs);
        let changed = checkpoint.write(&self.checkpointer, values);
        let source = match parent.address.checkpoint_id == *head {
            true => {
                // Its version says that it is the parent's.
                checkpoint.channel_values.remove(PLAN);
                Source::Loop
            }
            // The parent may be pruned before the put.
            false => Source::Fork,
        };
        let step = parent.metadata.step().unwrap_or_default() + 1;
        let metadata = self.metadata(source, number, step);
        let put = Put::after(&parent.address, &checkpoint, &metadata)
            .new_versions(&changed)
            .expect_head(head);
        let put = self.checkpointer.put(put).await?;
        self.say(Event::put(number, &put.checkpoint_id));
        Ok(())
    }

    fn metadata(&self, source: Source, number: u64, step: i64) -> Metadata {
        let agent = self.plan.agent;
        Metadata::new(source, step)
            .with("agent", agent)
            .with("number", number)
            .with("run_id", format!("agent-{agent} run {}", number / RUN))
    }

    fn say(&self, event: Event) {
        (self.report)(Fact {
            agent: self.plan.agent,
            event,
        });
    }
}

/// The number of a checkpoint.
pub(super) fn number(tuple: &CheckpointTuple) -> Option<u64> {
    tuple.metadata.get("number")?.as_u64()
}

/// The outputs of the tasks of a checkpoint, as they are recorded at its parent.
pub(super) fn outputs(
    plan: &Plan,
    number: u64,
    parent: &CheckpointTuple,
) -> Result<Vec<(String, Value)>, Error> {
    let mut outputs = Vec::new();
    for task in 0..plan.tasks(number) {
        let task_id = task_id(number, task)?;
        let writes = parent.pending_writes.iter();
        let writes = writes.filter(|write| write.task_id == task_id);
        outputs.extend(writes.map(|write| (write.channel.clone(), Value::clone(&write.value))));
    }
    Ok(outputs)
}

pub(super) fn task_id(number: u64, task: u64) -> Result<TaskId, Error> {
    TaskId::new(format!("{number}-{task}"))
}
