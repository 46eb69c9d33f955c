//! A proxy that answers with what servers and poolers are known to refuse with, and with silence.

mod caller;
mod deck;

use std::collections::BTreeMap;

use checkpointer::PostgresCheckpointer;
use db::Database;
use rig::{Checker, PrivateServer, settings_for};
use tokio::task::JoinSet;

use caller::Caller;

/// How many callers there are, with a proxy each.
const CALLERS: u64 = 4;

/// What came of the calls of one caller, or of all.
#[derive(Debug, Default)]
struct Outcomes {
    counts: BTreeMap<&'static str, u64>,
    violations: Vec<String>,
}

pub(crate) async fn refusals(rounds: u32, seed: u64) -> anyhow::Result<Vec<String>> {
    println!("\n{rounds} rounds of calls that servers and poolers refuse");
    let server = PrivateServer::start(&[]).await?;
    let database = Database::connect(&settings_for(&server.url(), &[])).await?;
    let checker = Checker::setup(database).await?;
    let mut callers = JoinSet::new();
    for number in 0..CALLERS {
        let reader: PostgresCheckpointer = checker.checkpointer().clone();
        let caller = Caller::new(&server.url(), reader, seed ^ number).await?;
        callers.spawn(caller.run(rounds.div_ceil(CALLERS as u32)));
    }
    let mut all = Outcomes::default();
    while let Some(ended) = callers.join_next().await {
        let Outcomes { counts, violations } = ended??;
        for (what, count) in counts {
            *all.counts.entry(what).or_default() += count;
        }
        all.violations.extend(violations);
    }
    all.violations.extend(checker.tables().await?);
    for (what, count) in &all.counts {
        println!("  {count} × {what}");
    }
    Ok(all.violations)
}

impl Outcomes {
    fn did(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }
}
