//! Agents that keep their memory in typed threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use checkpointer::{Checkpointer, PutWrites, TaskId, Thread};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agents::Agent;
use crate::work::Step;

/// The list of an agent's messages.
pub(crate) trait Messages:
    Default + Extend<Message> + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<L> Messages for L where
    L: Default + Extend<Message> + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Message {
    id: String,
    role: String,
    content: String,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct State<L> {
    messages: L,
    step: usize,
    summary: String,
}

impl<L: Messages> State<L> {
    /// The state after these steps.
    pub(crate) fn after(steps: &[Step]) -> anyhow::Result<Self> {
        let mut state = Self::default();
        for step in steps {
            state.go_on(step)?;
        }
        Ok(state)
    }

    fn go_on(&mut self, step: &Step) -> anyhow::Result<()> {
        let message: Message = serde_json::from_value(step.message.clone())?;
        self.messages.extend([message]);
        self.step += 1;
        self.summary.clone_from(&step.summary);
        Ok(())
    }
}

/// An agent whose messages are in such a list.
pub(crate) struct TypedAgent<L> {
    checkpointer: Arc<dyn Checkpointer>,
    thread: Thread<State<L>>,
    state: State<L>,
    tasks: [TaskId; 2],
    head: Option<checkpointer::CheckpointAddress>,
}

impl<L: Messages> TypedAgent<L> {
    pub(crate) fn new(
        checkpointer: Arc<dyn Checkpointer>,
        thread_id: String,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            thread: checkpointer.thread(thread_id)?,
            checkpointer,
            state: State::default(),
            tasks: [TaskId::new("agent-task")?, TaskId::new("tools-task")?],
            head: None,
        })
    }
}

/// What the two tasks of a step put out.
fn writes(number: usize, step: &Step) -> [Vec<(String, Value)>; 2] {
    [
        vec![
            ("messages".to_owned(), json!([step.message])),
            ("step".to_owned(), json!(number)),
        ],
        vec![("summary".to_owned(), json!(step.summary))],
    ]
}

#[async_trait]
impl<L: Messages> Agent for TypedAgent<L> {
    async fn put_writes(&mut self, step: &Step) -> anyhow::Result<[Duration; 2]> {
        let mut took = [Duration::ZERO; 2];
        // A thread that has no checkpoint yet has no tasks.
        let Some(head) = &self.head else {
            return Ok(took);
        };
        for (index, writes) in writes(self.state.step, step).iter().enumerate() {
            let start = Instant::now();
            let put = PutWrites::new(head, &self.tasks[index], writes);
            self.checkpointer.put_writes(put).await?;
            took[index] = start.elapsed();
        }
        Ok(took)
    }

    async fn put(&mut self, step: &Step) -> anyhow::Result<Duration> {
        self.state.go_on(step)?;
        let start = Instant::now();
        self.head = Some(self.thread.save(&self.state).await?);
        Ok(start.elapsed())
    }

    async fn get(&mut self) -> anyhow::Result<Duration> {
        let head = self.head.as_ref().context("nothing was saved")?;
        let start = Instant::now();
        let read = self.thread.at(&head.checkpoint_id).await?;
        let took = start.elapsed();
        ensure!(read == self.state, "what is read isn't what was saved");
        Ok(took)
    }
}
