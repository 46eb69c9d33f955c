//! Conversations as a web service.
//!
//! ```text
//! cargo run --package chat
//! curl -H 'content-type: application/json' -d '{"text": "Where is my order?"}' \
//!     localhost:8080/threads/support-4711/messages
//! curl localhost:8080/threads/support-4711
//! curl localhost:8080/threads/support-4711/history
//! curl -N localhost:8080/threads/support-4711/events
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
use checkpointer::{Checkpointer, PostgresCheckpointer};
use settings::Settings;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = db::init_db(&Settings::load()?).await?;
    let checkpointer = Arc::new(PostgresCheckpointer::setup(database).await?);
    let app = chat::app(Arc::clone(&checkpointer) as Arc<dyn Checkpointer>);
    let listener = TcpListener::bind("127.0.0.1:8080")
        .await
        .context("failed to listen on 127.0.0.1:8080")?;
    println!("listening on http://{}", listener.local_addr()?);
    let stopped = async move {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("stopping, because Ctrl-C can't be waited for: {error}");
        }
        // Ends the streams of events, for which the server would wait.
        if let Err(error) = checkpointer.close().await {
            eprintln!("{}", error.for_log());
        }
    };
    axum::serve(listener, app)
        .with_graceful_shutdown(stopped)
        .await?;
    db::close_db().await?;
    Ok(())
}
