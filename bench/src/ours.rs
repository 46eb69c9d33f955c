//! This workspace's checkpointer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use checkpointer::{
    ChannelVersions, Checkpoint, CheckpointAddress, CheckpointId, Checkpointer, GetTuple, Log,
    Metadata, PostgresOptions, Put, PutWrites, Source, TaskId, ThreadId, Version,
};
use db::Database;
use rig::client;
use serde_json::{Value, json};
use settings::Settings;
use tokio_postgres::Client;

use crate::agents::{self, Agent};
use crate::contender::{Contender, Site};
use crate::typed::{Message, TypedAgent};
use crate::work::{Samples, Step, Work};

/// How long connections have to come back at the end.
pub(crate) const CLOSE: Duration = Duration::from_secs(10);

/// A checkpointer with the pool it uses.
pub(crate) struct Ours {
    database: Database,
    pub(crate) checkpointer: Arc<dyn Checkpointer>,
    weigh: Arc<(Client, String)>,
    work: Option<Arc<Work>>,
    keeping: Keeping,
}

/// How an agent keeps its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeping {
    /// A put brings all of them.
    Whole,
    /// A put says which are new.
    Appended,
    /// In a `Vec` of a typed thread's state.
    Vec,
    /// In a `Log` of a typed thread's state.
    Log,
}

/// Connects a checkpointer with these options.
pub(crate) async fn start(site: &Site, options: PostgresOptions) -> anyhow::Result<Ours> {
    let database = connect(site).await?;
    let checkpointer = options.setup(database.clone()).await?;
    Ok(Ours {
        database,
        checkpointer: Arc::new(checkpointer),
        weigh: Arc::new((client(&site.url).await?, site.weigh.clone())),
        work: None,
        keeping: Keeping::Whole,
    })
}

impl Ours {
    /// Keeps the messages in another way.
    pub(crate) fn keeping(self, keeping: Keeping) -> Self {
        Self { keeping, ..self }
    }

    async fn let_work<A: Agent>(
        &self,
        work: &Arc<Work>,
        agent: impl Fn(Arc<dyn Checkpointer>, String) -> anyhow::Result<A>,
    ) -> anyhow::Result<Samples> {
        let indexes = 0..work.agents.len();
        let agents =
            indexes.map(|index| agent(Arc::clone(&self.checkpointer), work.thread_id(index)));
        let agents = agents.collect::<anyhow::Result<_>>()?;
        agents::work(agents, work, Arc::clone(&self.weigh)).await
    }
}

pub(crate) async fn connect(site: &Site) -> anyhow::Result<Database> {
    let settings = Settings::builder(&site.url)
        .schema(&site.schema)
        .application_name(&site.schema)
        .pool_min(site.pool)
        .pool_max(site.pool)
        .pool_mode(site.mode)
        .build()?;
    Ok(Database::connect(&settings).await?)
}

#[async_trait]
impl Contender for Ours {
    async fn prepare(&mut self, work: &Arc<Work>) -> anyhow::Result<()> {
        self.work = Some(Arc::clone(work));
        Ok(())
    }

    async fn work(&mut self) -> anyhow::Result<Samples> {
        let work = self.work.take().context("there is no work")?;
        let whole = |appends| {
            move |checkpointer: Arc<dyn Checkpointer>, id: String| {
                OurAgent::new(checkpointer, id, appends)
            }
        };
        match self.keeping {
            Keeping::Whole => self.let_work(&work, whole(false)).await,
            Keeping::Appended => self.let_work(&work, whole(true)).await,
            Keeping::Vec => self.let_work(&work, TypedAgent::<Vec<Message>>::new).await,
            Keeping::Log => self.let_work(&work, TypedAgent::<Log<Message>>::new).await,
        }
    }

    async fn close(self: Box<Self>) -> anyhow::Result<()> {
        self.checkpointer.close().await?;
        Ok(self.database.close(CLOSE).await?)
    }
}

struct OurAgent {
    checkpointer: Arc<dyn Checkpointer>,
    state: State,
    tasks: [TaskId; 2],
    head: CheckpointAddress,
    appends: bool,
}

/// An agent's state, as a graph runtime holds it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) checkpoint: Checkpoint,
    version: Option<Version>,
    steps: i64,
}

/// What a step puts.
#[derive(Debug)]
pub(crate) struct NewStep {
    pub(crate) versions: ChannelVersions,
    pub(crate) metadata: Metadata,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            checkpoint: Checkpoint::new(CheckpointId::generate(None)),
            version: None,
            steps: 0,
        }
    }

    /// What the two tasks of a step put out.
    pub(crate) fn writes(&self, step: &Step) -> [Vec<(String, Value)>; 2] {
        [
            vec![
                ("messages".to_owned(), json!([step.message])),
                ("step".to_owned(), json!(self.steps)),
            ],
            vec![
                ("summary".to_owned(), json!(step.summary)),
                ("branch:to:agent".to_owned(), Value::Null),
            ],
        ]
    }

    /// Makes the step: `messages` grows by one, everything else is replaced.
    pub(crate) fn advance(&mut self, step: &Step, version: Version) -> NewStep {
        let Self {
            checkpoint, steps, ..
        } = self;
        let parent = checkpoint.id.clone();
        checkpoint.id = CheckpointId::generate(Some(&parent));
        checkpoint.ts = Checkpoint::new(checkpoint.id.clone()).ts;
        let values = &mut checkpoint.channel_values;
        match values.get_mut("messages") {
            Some(Value::Array(messages)) => messages.push(step.message.clone()),
            _ => drop(values.insert("messages", json!([step.message]))),
        }
        values.insert("step", json!(steps));
        values.insert("summary", json!(step.summary));
        values.insert("branch:to:agent", Value::Null);
        let versions: ChannelVersions = values
            .keys()
            .map(|channel| (channel.clone(), version.clone()))
            .collect();
        let seen = ["branch:to:agent".to_owned()].map(|channel| (channel, version.clone()));
        checkpoint.channel_versions.clone_from(&versions);
        checkpoint.versions_seen = [
            ("__input__".to_owned(), ChannelVersions::new()),
            ("agent".to_owned(), seen.into()),
        ]
        .into();
        let metadata = Metadata::new(Source::Loop, *steps);
        *steps += 1;
        self.version = Some(version);
        NewStep { versions, metadata }
    }

    /// Takes the messages out of the checkpoint.
    fn take_messages(&mut self) -> Vec<Value> {
        let messages = self.checkpoint.channel_values.remove("messages");
        match messages.map(Arc::unwrap_or_clone) {
            Some(Value::Array(messages)) => messages,
            _ => Vec::new(),
        }
    }

    pub(crate) fn version(&self) -> Option<&Version> {
        self.version.as_ref()
    }
}

impl OurAgent {
    fn new(
        checkpointer: Arc<dyn Checkpointer>,
        thread_id: String,
        appends: bool,
    ) -> anyhow::Result<Self> {
        let state = State::new();
        Ok(Self {
            head: CheckpointAddress::new(ThreadId::new(thread_id)?, state.checkpoint.id.clone())?,
            state,
            checkpointer,
            appends,
            tasks: [TaskId::new("agent-task")?, TaskId::new("tools-task")?],
        })
    }
}

#[async_trait]
impl Agent for OurAgent {
    async fn put_writes(&mut self, step: &Step) -> anyhow::Result<[Duration; 2]> {
        let mut took = [Duration::ZERO; 2];
        let writes = self.state.writes(step);
        for (index, writes) in writes.iter().enumerate() {
            let start = Instant::now();
            let put = PutWrites::new(&self.head, &self.tasks[index], writes);
            self.checkpointer.put_writes(put).await?;
            took[index] = start.elapsed();
        }
        Ok(took)
    }

    async fn put(&mut self, step: &Step) -> anyhow::Result<Duration> {
        let version = self.checkpointer.next_version(self.state.version());
        let is_first = self.state.steps == 0;
        let NewStep { versions, metadata } = self.state.advance(step, version);
        let messages = match self.appends {
            true => self.state.take_messages(),
            false => Vec::new(),
        };
        let start = Instant::now();
        let mut put = if is_first {
            Put::new(&self.head.thread_id, &self.state.checkpoint, &metadata)
        } else {
            Put::after(&self.head, &self.state.checkpoint, &metadata)
        };
        if let Some(before) = messages.len().checked_sub(1) {
            put = put.append("messages", before, &messages[before..]);
        }
        self.head = self.checkpointer.put(put.new_versions(&versions)).await?;
        let took = start.elapsed();
        if self.appends {
            let values = &mut self.state.checkpoint.channel_values;
            values.insert("messages", messages.into());
        }
        Ok(took)
    }

    async fn get(&mut self) -> anyhow::Result<Duration> {
        let query = GetTuple::head(self.head.thread_id.clone())?;
        let start = Instant::now();
        let tuple = self.checkpointer.get_tuple(query).await?;
        let took = start.elapsed();
        let read = tuple.map(|tuple| tuple.checkpoint.channel_values);
        ensure!(
            read.as_ref() == Some(&self.state.checkpoint.channel_values),
            "what is read isn't what was put"
        );
        Ok(took)
    }
}
