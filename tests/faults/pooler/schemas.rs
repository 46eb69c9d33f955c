//! Several schemas over one pool: directly, and behind a pooler.

use std::sync::Arc;

use checkpointer::PostgresCheckpointer;
use db::Database;
use rig::{PrivateServer, Release, settings_for};

use super::{PATIENT, Pooled, leftovers};
use crate::suite;

/// How many connections the pool has, and the pooler has to the server.
const CONNECTIONS: usize = 4;

/// Runs the contract suite with two schemas by turns: all its cases at once, on one pool.
async fn run_suite(database: Database) {
    let schemas = ["tenant a", "tenant b"].map(|name| database.in_schema(name).unwrap());
    for schema in &schemas {
        PostgresCheckpointer::setup(schema.clone()).await.unwrap();
    }
    let schemas = Arc::new(schemas);
    suite::run_all(|number| {
        let schemas = Arc::clone(&schemas);
        async move {
            let database = schemas[number % schemas.len()].clone();
            PostgresCheckpointer::open(database).await.unwrap()
        }
    })
    .await;
}

fn variables() -> Vec<(&'static str, &'static str)> {
    let few = [("DB_POOL_MAX", "4")];
    PATIENT.iter().chain(&few).copied().collect()
}

#[tokio::test]
async fn the_contract_suite_passes_on_two_schemas_of_one_pool() {
    let server = PrivateServer::start(&[]).await.unwrap();
    let settings = settings_for(&server.url(), &variables());
    run_suite(Database::connect(&settings).await.unwrap()).await;
}

async fn the_contract_suite_passes_on_two_schemas_of_one_pool_behind_a_pooler(release: Release) {
    let pooled = Pooled::start(release, CONNECTIONS).await;
    run_suite(pooled.connect(&variables()).await).await;
    assert_eq!(leftovers(&pooled, CONNECTIONS).await, [""; 0]);
}

through_each_release!(the_contract_suite_passes_on_two_schemas_of_one_pool_behind_a_pooler);
