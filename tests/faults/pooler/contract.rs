//! The contract suite through a pooler.

use std::sync::Arc;

use checkpointer::{Durability, PostgresCheckpointer, PostgresOptions};

use rig::Release;

use super::{PATIENT, Pooled, leftovers};
use crate::suite;

/// How many connections the pooler opens to the server.
const CONNECTIONS: usize = 4;

/// A process of its own, as it were. All migrate, and what it does needs no second connection.
async fn agent(pooled: &Pooled, number: usize) -> PostgresCheckpointer {
    let one = [("DB_POOL_MAX", "1")];
    let variables: Vec<_> = PATIENT.iter().chain(&one).copied().collect();
    let database = pooled.connect(&variables).await;
    let durability = match number % 2 {
        0 => Durability::Full,
        _ => Durability::Relaxed,
    };
    let options = PostgresOptions::default().durability(durability);
    options.setup(database).await.unwrap()
}

async fn the_contract_suite_passes_with_far_more_agents_than_connections_to_the_server(
    release: Release,
) {
    let pooled = Arc::new(Pooled::start(release, CONNECTIONS).await);
    suite::run_all(|number| {
        let pooled = Arc::clone(&pooled);
        async move { agent(&pooled, number).await }
    })
    .await;
    assert_eq!(leftovers(&pooled, CONNECTIONS).await, [""; 0]);
}

through_each_release!(
    the_contract_suite_passes_with_far_more_agents_than_connections_to_the_server,
);
