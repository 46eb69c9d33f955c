//! Agents that work in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use crate::work::{Samples, Step, Work};

/// One agent, on one thread. Each call says how long the system took for it.
#[async_trait]
pub(crate) trait Agent: Send + 'static {
    /// Stores what the step's two tasks put out, in two calls.
    async fn put_writes(&mut self, step: &Step) -> anyhow::Result<[Duration; 2]>;

    /// Stores the checkpoint after the step.
    async fn put(&mut self, step: &Step) -> anyhow::Result<Duration>;

    /// Reads the head, and checks that it is what was put.
    async fn get(&mut self) -> anyhow::Result<Duration>;
}

/// What an agent has measured.
#[derive(Debug, Default)]
struct Measured {
    put: Vec<f64>,
    put_writes: Vec<f64>,
    get: Vec<f64>,
    weights: Vec<(usize, i64)>,
    weighing: Duration,
}

/// Lets all agents work at once. `weigh` is the statement that gives the stored bytes, and the
/// connection to run it on.
pub(crate) async fn work(
    agents: Vec<impl Agent>,
    work: &Arc<Work>,
    weigh: Arc<(Client, String)>,
) -> anyhow::Result<Samples> {
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    for (index, agent) in agents.into_iter().enumerate() {
        let (work, weigh) = (Arc::clone(work), Arc::clone(&weigh));
        tasks.spawn(async move { run(agent, &work, index, &weigh).await });
    }
    let mut measured = Vec::new();
    while let Some(agent) = tasks.join_next().await {
        measured.push(agent.context("an agent panicked")??);
    }
    let weighing: Duration = measured.iter().map(|agent| agent.weighing).sum();
    let mut samples = Samples {
        seconds: (start.elapsed() - weighing).as_secs_f64(),
        put: Vec::new(),
        put_writes: Vec::new(),
        get: Vec::new(),
        weights: Vec::new(),
    };
    for agent in measured {
        samples.put.push(agent.put);
        samples.put_writes.push(agent.put_writes);
        samples.get.push(agent.get);
        samples.weights.extend(agent.weights);
    }
    Ok(samples)
}

async fn run(
    mut agent: impl Agent,
    work: &Work,
    index: usize,
    (client, weigh): &(Client, String),
) -> anyhow::Result<Measured> {
    let mut measured = Measured::default();
    for (done, step) in (1..).zip(&work.agents[index]) {
        let puts = agent.put_writes(step).await?;
        measured.put_writes.extend(puts.map(milliseconds));
        measured.put.push(milliseconds(agent.put(step).await?));
        if work.get_every.is_some_and(|every| done % every == 0) {
            measured.get.push(milliseconds(agent.get().await?));
        }
        if work.weigh_every.is_some_and(|every| done % every == 0) {
            let start = Instant::now();
            let row = client.query_one(weigh, &[]).await;
            let row = row.context("weigh the tables")?;
            measured.weights.push((done, row.get(0)));
            measured.weighing += start.elapsed();
        }
    }
    Ok(measured)
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
