//! What a read costs in a thread that this program hasn't read before, and in one that it has.
//!
//! The state is that of the other scenarios, put at once. One checkpointer keeps nothing of what it has
//! read, the other does.

use std::time::Instant;

use anyhow::Context as _;
use checkpointer::{Checkpointer as _, GetTuple, PostgresCheckpointer, PostgresOptions};
use db::Database;
use serde_json::{Value, json};

use crate::agents::milliseconds;
use crate::contender::Site;
use crate::figures::{percentile, rounded};
use crate::ours;
use crate::typed::{Message, State};
use crate::work::Work;

/// How many messages the state has.
pub(crate) const LENGTHS: [usize; 3] = [100, 1_000, 10_000];

/// How often each read is timed, after a few that warm up.
const READS: usize = 20;
const WARM_UP: usize = 10;

/// What reads of one state take, in milliseconds.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) messages: usize,
    pub(crate) get_first_p50: f64,
    pub(crate) get_again_p50: f64,
    pub(crate) load_first_p50: f64,
    pub(crate) load_again_p50: f64,
}

impl Reads {
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "system": "checkpointer",
            "scenario": "reads",
            "messages": self.messages,
            "get_first_p50_ms": rounded(self.get_first_p50),
            "get_again_p50_ms": rounded(self.get_again_p50),
            "load_first_p50_ms": rounded(self.load_first_p50),
            "load_again_p50_ms": rounded(self.load_again_p50),
        })
    }
}

/// Measures the reads of the state that one agent's work comes to.
pub(crate) async fn measure(site: &Site, work: &Work) -> anyhow::Result<Reads> {
    let database = ours::connect(site).await?;
    let reads = measure_on(&database, work).await?;
    database.close(ours::CLOSE).await?;
    Ok(reads)
}

async fn measure_on(database: &Database, work: &Work) -> anyhow::Result<Reads> {
    let keeping = PostgresOptions::default().setup(database.clone()).await?;
    let options = PostgresOptions::default().cache_bytes(0);
    let forgetful = options.setup(database.clone()).await?;
    let steps = work.agents.first().context("there is no agent")?;
    let thread_id = work.thread_id(0);
    let state = State::<Vec<Message>>::after(steps)?;
    forgetful.thread(&*thread_id)?.save(&state).await?;

    // They take turns, so that a slow moment meets all.
    let [mut get_first, mut get_again, mut load_first, mut load_again] = [const { Vec::new() }; 4];
    for round in 0..WARM_UP + READS {
        let took = [
            get(&forgetful, &thread_id).await?,
            get(&keeping, &thread_id).await?,
            load(&forgetful, &thread_id).await?,
            load(&keeping, &thread_id).await?,
        ];
        if round >= WARM_UP {
            let all = [
                &mut get_first,
                &mut get_again,
                &mut load_first,
                &mut load_again,
            ];
            for (times, took) in all.into_iter().zip(took) {
                times.push(took);
            }
        }
    }
    keeping.close().await?;
    forgetful.close().await?;
    Ok(Reads {
        messages: steps.len(),
        get_first_p50: percentile(get_first, 50),
        get_again_p50: percentile(get_again, 50),
        load_first_p50: percentile(load_first, 50),
        load_again_p50: percentile(load_again, 50),
    })
}

async fn get(checkpointer: &PostgresCheckpointer, thread_id: &str) -> anyhow::Result<f64> {
    let query = GetTuple::head(thread_id)?;
    let start = Instant::now();
    let read = checkpointer.get_tuple(query).await?;
    let took = milliseconds(start.elapsed());
    read.context("nothing is read")?;
    Ok(took)
}

async fn load(checkpointer: &PostgresCheckpointer, thread_id: &str) -> anyhow::Result<f64> {
    let mut thread = checkpointer.thread::<State<Vec<Message>>>(thread_id)?;
    let start = Instant::now();
    let read = thread.load().await?;
    let took = milliseconds(start.elapsed());
    read.context("nothing is loaded")?;
    Ok(took)
}
