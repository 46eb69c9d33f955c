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
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::app::App;
use super::problem::Problem;

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// The permission to use the checkpointer, until it is dropped.
pub(super) struct Turn<'a> {
    checkpointer: &'a Arc<dyn Checkpointer>,
    permit: OwnedSemaphorePermit,
}

impl App {
    /// Waits for a turn.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Problem> {
        let patience = PATIENCE.min(self.options.timeout);
        let permit = tokio::time::timeout(patience, Arc::clone(&self.turns).acquire_owned()).await;
        match permit {
            Ok(Ok(permit)) => Ok(Turn {
                checkpointer: &self.checkpointer,
                permit,
            }),
            _ => Err(Problem::busy()),
        }
    }
}

impl Turn<'_> {
    /// Does what keeps a processor busy for a while, such as with a large state. It has the turn until it is done,
    /// also if the request has ended meanwhile: nothing ends it.
    pub(super) async fn compute<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let permit = self.permit;
        let work = move || {
            let _permit = permit;
            work()
        };
        spawn_blocking(work).await.map_err(|_| Problem::broken())
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
