//! The floor: what any store in PostgreSQL must at least do.
//!
//! Each call is one prepared statement in a transaction of its own, on the bare driver: for a `put`
//! and a `put_writes` an `INSERT` of the same new bytes, for a get a `SELECT` of one row that holds
//! the whole state. Those rows are stored beforehand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{Mutex, Semaphore};
use tokio_postgres::{Client, Statement};

use crate::agents::{self, Agent};
use crate::contender::{Contender, Site};
use crate::ours::{NewStep, State};
use crate::server;
use crate::work::{GET_EVERY, Samples, Step, Work};

const TABLES: &str = r#"
CREATE TABLE checkpoints (
    thread_id      text COLLATE "C",
    checkpoint_id  text COLLATE "C",
    content        jsonb NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_id)
);
CREATE TABLE pending_writes (
    thread_id      text COLLATE "C",
    checkpoint_id  text COLLATE "C",
    task           bigint,
    content        jsonb NOT NULL,
    PRIMARY KEY (thread_id, checkpoint_id, task)
);
CREATE TABLE states (
    thread_id  text COLLATE "C",
    steps      bigint,
    state      jsonb NOT NULL,
    PRIMARY KEY (thread_id, steps)
);"#;

/// Connections of which each is lent to one call at a time.
struct Pool {
    free: Semaphore,
    connections: Mutex<Vec<Connection>>,
}

struct Connection {
    client: Client,
    put: Statement,
    put_writes: Statement,
    get: Statement,
}

impl Pool {
    async fn open(site: &Site) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..site.pool {
            connections.push(Connection::open(site).await?);
        }
        Ok(Self {
            free: Semaphore::new(connections.len()),
            connections: Mutex::new(connections),
        })
    }

    /// Lends a connection to `call`.
    async fn lend<T>(
        &self,
        call: impl AsyncFnOnce(&Connection) -> Result<T, tokio_postgres::Error>,
    ) -> anyhow::Result<T> {
        let _permit = self.free.acquire().await?;
        let connection = self.connections.lock().await.pop();
        let connection = connection.context("a permit stands for a connection")?;
        let outcome = call(&connection).await;
        self.connections.lock().await.push(connection);
        Ok(outcome?)
    }
}

impl Connection {
    async fn open(site: &Site) -> anyhow::Result<Self> {
        let client = server::client(&site.url).await?;
        let session = format!(
            "SET application_name = '{0}'; SET search_path = {0}",
            site.schema
        );
        client.batch_execute(&session).await?;
        Ok(Self {
            put: client
                .prepare("INSERT INTO checkpoints VALUES ($1, $2, $3::text::jsonb)")
                .await?,
            put_writes: client
                .prepare("INSERT INTO pending_writes VALUES ($1, $2, $3, $4::text::jsonb)")
                .await?,
            get: client
                .prepare("SELECT state::text FROM states WHERE thread_id = $1 AND steps = $2")
                .await?,
            client,
        })
    }
}

pub(crate) struct Floor {
    pool: Arc<Pool>,
    admin: Arc<(Client, String)>,
    work: Option<Arc<Work>>,
}

pub(crate) async fn start(site: &Site) -> anyhow::Result<Floor> {
    let admin = server::client(&site.url).await?;
    let search_path = format!("SET search_path = {}", site.schema);
    admin.batch_execute(&search_path).await?;
    admin.batch_execute(TABLES).await?;
    Ok(Floor {
        pool: Arc::new(Pool::open(site).await?),
        admin: Arc::new((admin, site.weigh.clone())),
        work: None,
    })
}

#[async_trait]
impl Contender for Floor {
    /// Stores the states that will be read.
    async fn prepare(&mut self, work: &Arc<Work>) -> anyhow::Result<()> {
        let (client, _) = &*self.admin;
        let insert = client
            .prepare("INSERT INTO states VALUES ($1, $2, $3::text::jsonb)")
            .await?;
        for (index, steps) in work.agents.iter().enumerate() {
            let thread_id = work.thread_id(index);
            let mut agent = State::new();
            for (done, step) in (1..).zip(steps) {
                agent.advance(step, checkpointer::Version::Int(done));
                if done % GET_EVERY as i64 == 0 {
                    let state = json!(agent.checkpoint.channel_values).to_string();
                    client
                        .execute(&insert, &[&thread_id, &done, &state])
                        .await
                        .context("store a state")?;
                }
            }
        }
        // Otherwise it would be closed on the server while the work is measured.
        drop(insert);
        client.batch_execute("ANALYZE states").await?;
        self.work = Some(Arc::clone(work));
        Ok(())
    }

    async fn work(&mut self) -> anyhow::Result<Samples> {
        let work = self.work.take().context("there is no work")?;
        let agents = (0..work.agents.len()).map(|index| FloorAgent {
            pool: Arc::clone(&self.pool),
            thread_id: work.thread_id(index),
            state: State::new(),
            steps: 0,
        });
        agents::work(agents.collect(), &work, Arc::clone(&self.admin)).await
    }

    async fn close(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}

struct FloorAgent {
    pool: Arc<Pool>,
    thread_id: String,
    state: State,
    steps: i64,
}

#[async_trait]
impl Agent for FloorAgent {
    async fn put_writes(&mut self, step: &Step) -> anyhow::Result<[Duration; 2]> {
        let mut took = [Duration::ZERO; 2];
        let writes = self.state.writes(step);
        for (index, writes) in writes.iter().enumerate() {
            let (start, task) = (Instant::now(), index as i64);
            let content = json!(writes).to_string();
            let id = self.state.checkpoint.id.as_str();
            self.pool
                .lend(async |connection| {
                    let Connection {
                        client, put_writes, ..
                    } = connection;
                    client
                        .execute(put_writes, &[&self.thread_id, &id, &task, &content])
                        .await
                })
                .await?;
            took[index] = start.elapsed();
        }
        Ok(took)
    }

    async fn put(&mut self, step: &Step) -> anyhow::Result<Duration> {
        self.steps += 1;
        let version = checkpointer::Version::Text(format!("{:032}.{:018}", self.steps, 0.5));
        let NewStep { metadata, .. } = self.state.advance(step, version);
        // The state without the messages that are stored already.
        let mut new = checkpointer::Checkpoint::new(self.state.checkpoint.id.clone());
        new.channel_versions
            .clone_from(&self.state.checkpoint.channel_versions);
        new.versions_seen
            .clone_from(&self.state.checkpoint.versions_seen);
        for (channel, value) in &self.state.checkpoint.channel_values {
            let value = match channel.as_str() {
                "messages" => json!([step.message]),
                _ => value.clone(),
            };
            new.channel_values.insert(channel.clone(), value);
        }
        let start = Instant::now();
        let content = json!([new.to_json(), metadata.as_map()]).to_string();
        self.pool
            .lend(async |connection| {
                let Connection { client, put, .. } = connection;
                client
                    .execute(put, &[&self.thread_id, &new.id.as_str(), &content])
                    .await
            })
            .await?;
        Ok(start.elapsed())
    }

    async fn get(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let row = self
            .pool
            .lend(async |connection| {
                let Connection { client, get, .. } = connection;
                client.query_one(get, &[&self.thread_id, &self.steps]).await
            })
            .await?;
        let state: Value = serde_json::from_str(row.get(0))?;
        let took = start.elapsed();
        ensure!(
            state == json!(self.state.checkpoint.channel_values),
            "what is read isn't what was put"
        );
        Ok(took)
    }
}
