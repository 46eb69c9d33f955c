//! The contract suite through a pooler.

use std::sync::Arc;

use checkpointer::{Durability, PostgresCheckpointer, PostgresOptions};
use checkpointer_suite::limit::MAX_THREAD_BYTES;

use rig::Release;

use super::{PATIENT, Pooled, leftovers};
use crate::suite;

/// How many connections the pooler opens to the server.
const CONNECTIONS: usize = 4;

/// A process of its own, as it were. All migrate, and what it does needs no second connection.
async fn agent(pooled: &Pooled, number: usize, limit: Option<u64>) -> PostgresCheckpointer {
    let one = [("DB_POOL_MAX", "1")];
    let variables: Vec<_> = PATIENT.iter().chain(&one).copied().collect();
    let database = pooled.connect(&variables).await;
    let durability = match number % 2 {
        0 => Durability::Full,
        _ => Durability::Relaxed,
    };
    let options = PostgresOptions::default().durability(durability);
    let options = match limit {
        Some(limit) => options.max_thread_bytes(limit),
        None => options,
    };
    options.setup(database).await.unwrap()
}

/// A limit that no case comes near to, for every other agent.
fn far_limit(number: usize) -> Option<u64> {
    ((number / 2) % 2 == 1).then_some(1 << 40)
}

async fn the_contract_suite_passes_with_far_more_agents_than_connections_to_the_server(
    release: Release,
) {
    let pooled = Arc::new(Pooled::start(release, CONNECTIONS).await);
    suite::run_all(|number| {
        let pooled = Arc::clone(&pooled);
        async move { agent(&pooled, number, far_limit(number)).await }
    })
    .await;
    suite::run_limited(|number| {
        let pooled = Arc::clone(&pooled);
        async move { agent(&pooled, number, Some(MAX_THREAD_BYTES)).await }
    })
    .await;
    assert_eq!(leftovers(&pooled, CONNECTIONS).await, [""; 0]);
}

through_each_release!(
    the_contract_suite_passes_with_far_more_agents_than_connections_to_the_server,
);
