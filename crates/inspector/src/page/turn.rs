//! How many requests use the checkpointer at the same time, and for how long.
//!
//! A turn is taken after the request was received and given back before the answer is sent: a client
//! that sends or reads slowly has none.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use checkpointer::Checkpointer;
use tokio::sync::SemaphorePermit;
use tokio::time::sleep;

use super::app::App;
use super::problem::Problem;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The permission to use the checkpointer, until it is dropped.
pub(super) struct Turn<'a> {
    checkpointer: &'a Arc<dyn Checkpointer>,
    _permit: SemaphorePermit<'a>,
}

impl App {
    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Problem> {
        let patience = PATIENCE.min(self.options.timeout);
        let permit = tokio::time::timeout(patience, self.turns.acquire()).await;
        match permit {
            Ok(Ok(permit)) => Ok(Turn {
                checkpointer: &self.checkpointer,
                _permit: permit,
            }),
            _ => Err(Problem::busy()),
        }
    }
}

impl Deref for Turn<'_> {
    type Target = dyn Checkpointer;

    fn deref(&self) -> &Self::Target {
        &**self.checkpointer
    }
}

/// Ends a request that takes too long, or whose database doesn't answer.
pub(super) async fn in_time(
    State(app): State<Arc<App>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
    tokio::select! {
        answer = next.run(request) => Ok(answer),
        () = sleep(app.options.timeout) => Err(Problem::too_slow(writes)),
        () = app.silence() => Err(Problem::silent(writes)),
    }
}
