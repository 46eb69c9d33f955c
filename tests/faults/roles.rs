//! The roles and grants of `docs/operations.md`, and the queries of `docs/sql.md`, as they are
//! printed there.

use checkpointer::{
    Checkpointer, Durability, List, PostgresCheckpointer, PostgresOptions, ThreadId,
};
use checkpointer_suite::limit::MAX_THREAD_BYTES;
use db::{Database, Error, GenericClient, SqlState};
use futures_util::TryStreamExt;
use rig::{PrivateServer, chain, settings_for};
use serde_json::json;

use crate::suite;

const OPERATIONS: &str = include_str!("../../docs/operations.md");
const SQL: &str = include_str!("../../docs/sql.md");

/// The thread that the page's queries name.
const THREAD: &str = "support-4711";

/// The blocks of SQL in a page.
pub(crate) fn blocks(page: &str) -> Vec<&str> {
    let blocks = page.split("```sql\n").skip(1);
    blocks
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect()
}

/// A server whose roles and tables are made as the page says.
async fn server_with_roles() -> PrivateServer {
    let server = PrivateServer::start(&[]).await.unwrap();
    let [roles, grants, _rename] = blocks(OPERATIONS)[..] else {
        panic!("the page has other blocks now");
    };
    let settings = settings_for(&server.url(), &[]);
    let superuser = Database::connect(&settings).await.unwrap();
    run(&superuser, "CREATE DATABASE agents").await.unwrap();
    run(&superuser, roles).await.unwrap();

    let owner = connect(&server, "agents_owner").await;
    PostgresCheckpointer::setup(owner.clone()).await.unwrap();
    run(&owner, grants).await.unwrap();
    server
}

async fn connect(server: &PrivateServer, role: &str) -> Database {
    let port = server.port();
    let url = format!("postgres://{role}@127.0.0.1:{port}/agents");
    let variables = [("DB_SCHEMA", "checkpointer"), ("DB_ACQUIRE_TIMEOUT", "60s")];
    let settings = settings_for(&url, &variables);
    Database::connect(&settings).await.unwrap()
}

async fn run(database: &Database, sql: &str) -> db::Result<()> {
    database.get().await?.batch_execute(sql).await
}

#[track_caller]
fn check_denied(result: db::Result<()>) {
    let error = result.unwrap_err();
    let code = Error::code(&error);
    assert_eq!(
        code,
        Some(&SqlState::INSUFFICIENT_PRIVILEGE),
        "{}",
        chain(&error)
    );
}

#[tokio::test]
async fn the_agents_need_the_grants_of_the_page_and_no_more() {
    let server = server_with_roles().await;
    // One pool for all: they are more than the server's connections.
    let agents = connect(&server, "agents").await;
    suite::run_all(|number| {
        let agents = agents.clone();
        async move {
            let durability = [Durability::Full, Durability::Relaxed][number % 2];
            let options = PostgresOptions::default().durability(durability);
            options.open(agents).await.unwrap()
        }
    })
    .await;
    suite::run_limited(|_| {
        let agents = agents.clone();
        async move {
            let options = PostgresOptions::default().max_thread_bytes(MAX_THREAD_BYTES);
            options.open(agents).await.unwrap()
        }
    })
    .await;
    // Up to date tables need no right to make any.
    PostgresCheckpointer::setup(agents.clone()).await.unwrap();

    for change in [
        "CREATE TABLE checkpointer.mine ()",
        "CREATE SCHEMA mine",
        "TRUNCATE checkpointer.threads",
        "UPDATE checkpointer.chunks SET refs = NULL",
        "DELETE FROM checkpointer.checkpointer_migrations",
    ] {
        check_denied(run(&agents, change).await);
    }
}

#[tokio::test]
async fn a_reader_asks_what_the_page_on_sql_shows_and_changes_nothing() {
    let server = server_with_roles().await;
    let agents = connect(&server, "agents").await;
    let checkpointer = PostgresCheckpointer::open(agents).await.unwrap();
    let mut thread = checkpointer.thread(THREAD).unwrap();
    for messages in [json!(["Hello"]), json!(["Hello", "Where is it?"])] {
        let state = json!({ "messages": messages, "escalated": true });
        thread.save(&state).await.unwrap();
    }

    let reader = connect(&server, "agents_reader").await;
    for query in blocks(SQL) {
        run(&reader, query).await.unwrap();
    }
    check_denied(run(&reader, "DELETE FROM checkpointer.threads").await);

    let reading = checkpointer.read_from(reader);
    let listed = reading.list(List::thread(ThreadId::new(THREAD).unwrap()).unwrap());
    assert_eq!(listed.try_collect::<Vec<_>>().await.unwrap().len(), 2);
}
