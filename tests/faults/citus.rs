//! A schema that Citus distributes as a whole: its tables are on one of several servers, and the
//! coordinator sends every statement there.
//!
//! No registry has Citus. `CITUS_URL` names a coordinator of version 13 or newer, as a superuser;
//! `cargo xtask test` leaves these tests out where it isn't set, and says so.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use checkpointer::{
    Checkpointer, ListThreads, OpenTransaction, PostgresCheckpointer, PostgresOptions, PutWrites,
    Result, TaskId, ThreadId,
};
use checkpointer_suite::limit::MAX_THREAD_BYTES;
use checkpointer_suite::step::Step;
use checkpointer_suite::within::Transactions;
use db::Database;
use futures_util::TryStreamExt;
use rig::{client, replay, settings_for};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::roles::blocks;
use crate::suite;

const SCALING: &str = include_str!("../../docs/scaling.md");

/// The coordinator of a small machine is slow.
const PATIENT: [(&str, &str); 3] = [
    ("DB_ACQUIRE_TIMEOUT", "2min"),
    ("DB_CONNECT_TIMEOUT", "2min"),
    ("DB_STATEMENT_TIMEOUT", "2min"),
];

/// A tenant, whose schema is distributed.
struct Tenant {
    database: Database,
    checkpointer: PostgresCheckpointer,
    schema: String,
}

impl Tenant {
    async fn new() -> Self {
        let schema = format!("tenant_{:016x}", fastrand::u64(..));
        let variables = [&PATIENT[..], &[("DB_SCHEMA", &schema)]].concat();
        let database = Database::connect(&settings_for(&url(), &variables)).await;
        let database = database.unwrap();
        let checkpointer = PostgresCheckpointer::setup(database.clone()).await;
        let checkpointer = checkpointer.unwrap();
        // As the page says.
        let [once, for_each_tenant] = blocks(SCALING)[..] else {
            panic!("the page has other blocks now");
        };
        let once = once.replace("ROLE agents", "ROLE CURRENT_USER");
        // Of two tests that change the role at once, one would fail.
        run(&format!("SELECT pg_advisory_xact_lock(1); {once}")).await;
        run(&for_each_tenant.replace("tenant_a", &schema)).await;
        Self {
            database,
            checkpointer,
            schema,
        }
    }

    /// Asks for one value in SQL, with the schema filled in.
    async fn ask(&self, sql: &str) -> Value {
        let sql = sql.replace("{schema}", &self.schema);
        let row = observer().await.query_one(&sql, &[]).await.unwrap();
        serde_json::from_str(row.get(0)).unwrap()
    }

    /// Removes what is there: Citus keeps an account of each table.
    async fn remove(self) {
        run(&format!("DROP SCHEMA {} CASCADE", self.schema)).await;
    }
}

impl Transactions for Tenant {
    fn checkpointer(&self) -> Arc<dyn Checkpointer> {
        Arc::new(self.checkpointer.clone())
    }

    async fn run<T>(&self, body: impl AsyncFnOnce(OpenTransaction<'_>) -> Result<T>) -> Result<T> {
        let body = async |tx: &db::Transaction<'_>| body(OpenTransaction::from(tx)).await;
        self.database.transaction(body).await
    }
}

fn url() -> String {
    match std::env::var("CITUS_URL") {
        Ok(url) => url,
        Err(_) => panic!("CITUS_URL is not set: it names a Citus, 13 or newer, as a superuser"),
    }
}

async fn observer() -> Client {
    client(&url()).await.unwrap()
}

async fn run(sql: &str) {
    observer().await.batch_execute(sql).await.unwrap();
}

#[tokio::test]
async fn the_contract_suite_passes_in_a_distributed_schema() {
    let tenant = Tenant::new().await;
    suite::run_all(|_| {
        let database = tenant.database.clone();
        async move { PostgresCheckpointer::open(database).await.unwrap() }
    })
    .await;
    tenant.remove().await;
}

#[tokio::test]
async fn a_limit_of_bytes_holds_in_a_distributed_schema() {
    let tenant = Tenant::new().await;
    suite::run_limited(|_| {
        let database = tenant.database.clone();
        let options = PostgresOptions::default().max_thread_bytes(MAX_THREAD_BYTES);
        async move { options.open(database).await.unwrap() }
    })
    .await;
    tenant.remove().await;
}

#[tokio::test]
async fn the_recorded_traces_agree_in_a_distributed_schema() {
    let tenant = Tenant::new().await;
    let traces = rig::package_folder().join("traces").read_dir().unwrap();
    for trace in traces.map(|entry| entry.unwrap().path()) {
        let recorded = BufReader::new(File::open(&trace).unwrap());
        let report = replay(&tenant.checkpointer, recorded).await.unwrap();
        if let Some(first) = &report.first {
            panic!("{}: {report}\n{first}", trace.display());
        }
    }
    tenant.remove().await;
}

#[tokio::test]
async fn the_functions_for_people_work_in_a_distributed_schema() {
    let tenant = Tenant::new().await;
    let messages: Value = (0..100).map(|n| format!("{n}: ").repeat(50)).collect();
    let state = json!({ "messages": messages, "escalated": true });
    let thread_id = ThreadId::new("support-4711").unwrap();
    let step = Step::first(&thread_id).values(state.clone());
    let address = step.put(&tenant.checkpointer).await;
    let task_id = TaskId::new("task").unwrap();
    let writes = [("messages".to_owned(), messages.clone())];
    let writes = PutWrites::new(&address, &task_id, &writes);
    tenant.checkpointer.put_writes(writes).await.unwrap();

    let sql = format!("SELECT {{schema}}.state('{thread_id}')::text");
    assert_eq!(tenant.ask(&sql).await, state);
    let all = "SELECT {schema}.state(thread_id)::text FROM {schema}.thread_overview";
    assert_eq!(tenant.ask(all).await, state);
    let value = "SELECT {schema}.stored_value(thread_id, value)::text FROM {schema}.pending_writes";
    assert_eq!(tenant.ask(value).await, messages);

    // The server of the tenant puts the value together.
    let Value::Object(found) = json!({ "messages": [messages[7]] }) else {
        unreachable!("it is an object");
    };
    let threads = ListThreads::all().state_contains(found);
    let threads = tenant.checkpointer.threads(threads);
    assert_eq!(threads.try_collect::<Vec<_>>().await.unwrap().len(), 1);
    tenant.remove().await;
}

mod transactions {
    use super::Tenant;

    checkpointer_suite::transaction_tests!(Tenant::new().await);
}
