//! Measures a system in a scenario.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use checkpointer::{Checkpointer as _, List, PostgresOptions, Projection, ThreadId};
use futures_util::TryStreamExt as _;
use rig::{TcpProxy, cpu_seconds};

use crate::agents::milliseconds;
use crate::contender::{Contender, Site, System};
use crate::ours;
use crate::peer::Peer;
use crate::reads::{self, Reads};
use crate::scenario::{self, Scenario};
use crate::server::{self, Server};
use crate::text::Text;
use crate::work::{Samples, Work};

/// How many steps an agent makes while round trips are counted.
const COUNTED_STEPS: usize = 30;

/// How often a list is timed.
const LISTS: usize = 20;

/// Everything a run is made with.
pub(crate) struct Bench {
    pub(crate) server: Server,
    pub(crate) text: Text,
    pub(crate) peer: Option<Peer>,
    pub(crate) pool: u32,
    pub(crate) seed: u64,
}

/// One run of a system.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) samples: Samples,
    /// The bytes that each table grew by.
    pub(crate) tables: BTreeMap<String, i64>,
    /// CPU seconds, where they are known.
    pub(crate) client_cpu: Option<f64>,
    pub(crate) server_cpu: Option<f64>,
}

/// How long it takes to list a thread, in milliseconds.
#[derive(Debug)]
pub(crate) struct Lists {
    /// As the caller sees it.
    pub(crate) caller: Vec<f64>,
    /// What the server takes of it.
    pub(crate) server: Vec<f64>,
}

impl Bench {
    /// Runs a scenario on a system, in a schema of its own, which is dropped.
    pub(crate) async fn run(
        &mut self,
        scenario: &Scenario,
        system: System,
        round: usize,
    ) -> anyhow::Result<Run> {
        let url = self.server.url.clone();
        let schema = self.server.make_schema().await?;
        let site = self.site(&url, &schema, scenario, system);
        let run = self.run_in(&site, scenario, system, round).await;
        self.server.drop_schema(&schema).await?;
        run
    }

    async fn run_in(
        &self,
        site: &Site,
        scenario: &Scenario,
        system: System,
        round: usize,
    ) -> anyhow::Result<Run> {
        let mut contender = system.start(site, self.peer.as_ref()).await?;
        self.warm_up(&mut *contender, scenario).await?;
        let mut work = self.work(scenario, round, scenario.steps);
        work.weigh_every = scenario.weigh_every();
        work.get_every = scenario.get_every();
        contender.prepare(&Arc::new(work)).await?;

        let before = self.server.tables(&site.schema).await?;
        let server_before = self.server.cpu(&site.schema).await?;
        let client_before = cpu_seconds(contender.process());
        let mut samples = contender.work().await?;
        let client_after = cpu_seconds(contender.process());
        let server_after = self.server.cpu(&site.schema).await?;
        let mut tables = self.server.tables(&site.schema).await?;
        contender.close().await?;

        let pending = system.pending_tables();
        let warm_up = before.iter();
        let warm_up = warm_up.filter(|(table, _)| !pending.contains(&table.as_str()));
        let warm_up: i64 = warm_up.map(|(_, bytes)| bytes).sum();
        for (_, bytes) in &mut samples.weights {
            *bytes -= warm_up;
        }
        for (table, bytes) in &mut tables {
            *bytes -= before.get(table).unwrap_or(&0);
        }
        Ok(Run {
            samples,
            tables,
            client_cpu: client_before.zip(client_after).map(|(from, to)| to - from),
            server_cpu: server_before
                .zip(server_after)
                .map(|(from, to)| to.since(&from)),
        })
    }

    /// Counts the round trips that a step takes, in a run that isn't timed.
    pub(crate) async fn round_trips(
        &mut self,
        scenario: &Scenario,
        system: System,
    ) -> anyhow::Result<f64> {
        let proxy = TcpProxy::before(&self.server.url);
        let schema = self.server.make_schema().await?;
        let site = self.site(proxy.url(), &schema, scenario, system);
        let counted = self.count_in(&site, &proxy, scenario, system).await;
        self.server.drop_schema(&schema).await?;
        counted
    }

    async fn count_in(
        &self,
        site: &Site,
        proxy: &TcpProxy,
        scenario: &Scenario,
        system: System,
    ) -> anyhow::Result<f64> {
        let mut contender = system.start(site, self.peer.as_ref()).await?;
        self.warm_up(&mut *contender, scenario).await?;
        let work = Arc::new(self.work(scenario, 0, scenario.steps.min(COUNTED_STEPS)));
        contender.prepare(&work).await?;
        let before = proxy.round_trips();
        contender.work().await?;
        let after = proxy.round_trips();
        contender.close().await?;
        Ok((after - before) as f64 / work.steps() as f64)
    }

    /// Times reads of states of several lengths.
    pub(crate) async fn reads(&mut self) -> anyhow::Result<Vec<Reads>> {
        let mut all = Vec::new();
        for messages in reads::LENGTHS {
            let schema = self.server.make_schema().await?;
            let url = &self.server.url;
            let site = self.site(url, &schema, &scenario::LIST, System::Checkpointer);
            let work = self.work(&scenario::LIST, 0, messages);
            let measured = reads::measure(&site, &work).await;
            self.server.drop_schema(&schema).await?;
            all.push(measured?);
        }
        Ok(all)
    }

    /// Times the list of a thread's checkpoints, ids and metadata only.
    pub(crate) async fn lists(&mut self, scenario: &Scenario) -> anyhow::Result<Lists> {
        let schema = self.server.make_schema().await?;
        let lists = self.lists_in(&schema, scenario).await;
        self.server.drop_schema(&schema).await?;
        lists
    }

    async fn lists_in(&self, schema: &str, scenario: &Scenario) -> anyhow::Result<Lists> {
        let system = System::Checkpointer;
        let url = &self.server.url;
        let mut ours = ours::start(
            &self.site(url, schema, scenario, system),
            PostgresOptions::default(),
        )
        .await?;
        let work = Arc::new(self.work(scenario, 0, scenario.steps));
        ours.prepare(&work).await?;
        ours.work().await?;

        let proxy = TcpProxy::before(url);
        let proxied = ours::start(
            &self.site(proxy.url(), schema, scenario, system),
            PostgresOptions::default(),
        )
        .await?;
        let mut lists = Lists {
            caller: Vec::new(),
            server: Vec::new(),
        };
        // The first ones warm up.
        let warm_up = 8 * self.pool as usize;
        for round in 0..warm_up + LISTS {
            let start = Instant::now();
            list(&ours, &work).await?;
            let caller = start.elapsed();
            let before = proxy.answering();
            list(&proxied, &work).await?;
            let answering = proxy.answering() - before;
            if round >= warm_up {
                lists.caller.push(milliseconds(caller));
                lists.server.push(milliseconds(answering));
            }
        }
        Box::new(proxied).close().await?;
        Box::new(ours).close().await?;
        Ok(lists)
    }

    async fn warm_up(
        &self,
        contender: &mut dyn Contender,
        scenario: &Scenario,
    ) -> anyhow::Result<()> {
        let steps = scenario.warm_up_steps(self.pool);
        let work = Work::new(&self.text, self.seed, "warm-up", scenario.agents, steps);
        contender.prepare(&Arc::new(work)).await?;
        contender.work().await?;
        Ok(())
    }

    /// The work of a round: the same for every system.
    pub(crate) fn work(&self, scenario: &Scenario, round: usize, steps: usize) -> Work {
        let seed = self.seed.wrapping_add(1 + round as u64);
        Work::new(&self.text, seed, "agent", scenario.agents, steps)
    }

    fn site(&self, url: &str, schema: &str, scenario: &Scenario, system: System) -> Site {
        Site {
            url: url.to_owned(),
            schema: schema.to_owned(),
            pool: self.pool,
            mode: scenario.mode,
            weigh: server::weigh(system, schema),
        }
    }
}

async fn list(ours: &ours::Ours, work: &Work) -> anyhow::Result<()> {
    let query = List::thread(ThreadId::new(work.thread_id(0))?)?.project(Projection::Metadata);
    let tuples: Vec<_> = ours.checkpointer.list(query).try_collect().await?;
    let steps = work.steps();
    ensure!(
        tuples.len() == steps,
        "{} of {steps} are listed",
        tuples.len()
    );
    tuples.last().context("nothing is listed")?;
    Ok(())
}
