//! A web service that uses only `settings` and `db`, with tables and migrations of its own.
//!
//! ```text
//! cargo run --package db --example web_service
//! curl --data 'Buy milk.' localhost:8080/notes
//! curl localhost:8080/notes
//! curl localhost:8080/health
//! ```
//!
//! Ctrl-C ends it in order: requests under way are answered, then the connections are closed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use db::{Database, GenericClient, Migration, Migrations, Statement, Type};
use settings::Settings;
use tokio::net::TcpListener;

const MIGRATIONS: Migrations = Migrations::new(
    "notes",
    &[Migration {
        number: 1,
        name: "notes",
        sql: include_str!("migrations/0001_notes.sql"),
    }],
);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::init_db(&Settings::load()?).await?;
    // Several instances may start at once: one of them migrates, the others wait for it.
    MIGRATIONS.apply(&database).await?;

    let app = Router::new()
        .route("/notes", get(list).post(add))
        .route("/health", get(health))
        .with_state(Arc::new(Notes::new(database)));
    let listener = TcpListener::bind("127.0.0.1:8080")
        .await
        .context("failed to listen on 127.0.0.1:8080")?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(async {
            if let Err(error) = tokio::signal::ctrl_c().await {
                eprintln!("stopping, because Ctrl-C can't be waited for: {error}");
            }
        })
        .await?;

    db::close_db().await?;
    Ok(())
}

struct Notes {
    database: Database,
    add: Statement,
    list: Statement,
}

impl Notes {
    fn new(database: Database) -> Self {
        let add = "-- notes::add\nINSERT INTO {schema}.notes (text) VALUES ($1)";
        let list = "-- notes::list\nSELECT text FROM {schema}.notes ORDER BY id";
        let schema = MIGRATIONS.schema(&database);
        Self {
            add: Statement::in_schema(add, vec![Type::TEXT], schema),
            list: Statement::in_schema(list, vec![], schema),
            database,
        }
    }
}

async fn add(State(notes): State<Arc<Notes>>, text: String) -> Result<StatusCode, Failure> {
    // Or `notes.database.get()`: it is the same pool.
    let connection = db::get_connection().await?;
    connection.execute(&notes.add, &[&text]).await?;
    Ok(StatusCode::CREATED)
}

async fn list(State(notes): State<Arc<Notes>>) -> Result<String, Failure> {
    let connection = db::get_connection().await?;
    let rows = connection.query(&notes.list, &[]).await?;
    let lines = rows.iter().map(|row| row.get::<_, String>("text") + "\n");
    Ok(lines.collect())
}

async fn health(State(notes): State<Arc<Notes>>) -> Result<&'static str, Failure> {
    notes.database.ping().await?;
    Ok("ok\n")
}

/// A failure of the database. The client learns whether it may try again later, the log learns why
/// it failed.
struct Failure(db::Error);

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.0.is_unavailable() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::INTERNAL_SERVER_ERROR,
        };
        eprintln!("error: {}", self.0.for_log());
        status.into_response()
    }
}
