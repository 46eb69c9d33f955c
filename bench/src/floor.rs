//! The floor: what any store in PostgreSQL must at least do.
//!
//! Each call is one prepared statement in a transaction of its own, on a bb8-postgres pool: for a
//! `put` and a `put_writes` an `INSERT` of the same new bytes, for a get a `SELECT` of one row that
//! holds the whole state. Those rows are stored beforehand.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_trait::async_trait;
use bb8::ManageConnection;
use bb8_postgres::PostgresConnectionManager;
use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Statement};

use crate::agents::{self, Agent};
use crate::contender::{Contender, Site};
use crate::ours::{NewStep, State};
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

/// The pool that people use today, without the question to the server that it asks by default
/// before it gives a connection: no store has to ask that.
type Pool = bb8::Pool<Manager>;

/// bb8-postgres's own, whose connections have their statements prepared.
struct Manager {
    connections: PostgresConnectionManager<NoTls>,
    schema: String,
}

struct Connection {
    client: Client,
    put: Statement,
    put_writes: Statement,
    get: Statement,
}

async fn open(site: &Site) -> anyhow::Result<Pool> {
    let manager = Manager {
        connections: PostgresConnectionManager::new_from_stringlike(&site.url, NoTls)?,
        schema: site.schema.clone(),
    };
    let pool = bb8::Pool::builder().max_size(site.pool).min_idle(site.pool);
    Ok(pool.test_on_check_out(false).build(manager).await?)
}

impl ManageConnection for Manager {
    type Connection = Connection;
    type Error = tokio_postgres::Error;

    async fn connect(&self) -> Result<Connection, Self::Error> {
        let client = self.connections.connect().await?;
        let session = format!(
            "SET application_name = '{0}'; SET search_path = {0}",
            self.schema
        );
        client.batch_execute(&session).await?;
        Ok(Connection {
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

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), Self::Error> {
        self.connections.is_valid(&mut connection.client).await
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        self.connections.has_broken(&mut connection.client)
    }
}

pub(crate) struct Floor {
    pool: Pool,
    admin: Arc<(Client, String)>,
    work: Option<Arc<Work>>,
}

pub(crate) async fn start(site: &Site) -> anyhow::Result<Floor> {
    let admin = rig::client(&site.url).await?;
    let search_path = format!("SET search_path = {}", site.schema);
    admin.batch_execute(&search_path).await?;
    admin.batch_execute(TABLES).await?;
    Ok(Floor {
        pool: open(site).await?,
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
            pool: self.pool.clone(),
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
    pool: Pool,
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
            let connection = self.pool.get().await?;
            let (client, put_writes) = (&connection.client, &connection.put_writes);
            let parameters: &[&(dyn ToSql + Sync)] = &[&self.thread_id, &id, &task, &content];
            client.execute(put_writes, parameters).await?;
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
        let connection = self.pool.get().await?;
        let (client, put, id) = (&connection.client, &connection.put, new.id.as_str());
        client
            .execute(put, &[&self.thread_id, &id, &content])
            .await?;
        Ok(start.elapsed())
    }

    async fn get(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let connection = self.pool.get().await?;
        let (client, get) = (&connection.client, &connection.get);
        let row = client
            .query_one(get, &[&self.thread_id, &self.steps])
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
