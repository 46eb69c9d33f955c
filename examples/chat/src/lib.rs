//! Conversations as a web service: messages are posted, histories read and forked, and browsers are told
//! of what is new.

mod failure;
mod routes;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};
use checkpointer::{Checkpointer, Thread, ThreadId};
use serde::{Deserialize, Serialize};

pub use failure::Failure;

/// The state of a thread.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Conversation {
    /// What was said, the oldest first.
    pub messages: Vec<String>,
}

/// The service, on any checkpointer.
pub fn app(checkpointer: Arc<dyn Checkpointer>) -> Router {
    Router::new()
        .route("/threads/{thread_id}", get(routes::read))
        .route("/threads/{thread_id}/messages", post(routes::say))
        .route("/threads/{thread_id}/history", get(routes::history))
        .route("/threads/{thread_id}/fork", post(routes::fork))
        .route("/threads/{thread_id}/events", get(routes::events))
        .with_state(checkpointer)
}

/// Opens a thread for one request. A handle is cheap.
fn open(
    checkpointer: &Arc<dyn Checkpointer>,
    thread_id: &str,
) -> Result<Thread<Conversation>, Failure> {
    Ok(checkpointer.thread(ThreadId::new(thread_id)?)?)
}
