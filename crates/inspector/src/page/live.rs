//! Tells open pages at once that something has changed: one watch for all of them.
//!
//! A page that isn't told asks now and then by itself.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use checkpointer::{HeadChange, ThreadId, Watch};
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt as _};
use serde::Deserialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::{Receiver, Sender, WeakSender, channel};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;

use super::app::App;
use super::problem::Problem;

/// How many changes are kept for a page that is slow. One that misses some is told that it did.
const KEPT: usize = 256;

/// How long a page is left alone after it was told.
const PAUSE: Duration = Duration::from_millis(500);

/// How soon a browser comes back once a stream has ended.
const BACK_AFTER: Duration = Duration::from_millis(300);

/// The pages that are told of changes.
pub(super) struct Live {
    /// How many more pages there may be.
    places: Arc<Semaphore>,
    /// Where the watch tells its changes, as long as there is one.
    watch: Mutex<WeakSender<ThreadId>>,
}

/// A page that is told.
struct Viewer {
    changes: Receiver<ThreadId>,
    /// The thread that it shows; none if it shows the list of threads.
    thread_id: Option<ThreadId>,
    _place: OwnedSemaphorePermit,
}

/// What a page shows.
#[derive(Debug, Deserialize)]
pub(super) struct Shows {
    /// A thread's id; empty for the list of threads.
    #[serde(default)]
    id: String,
}

impl Live {
    pub(super) fn new(most: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            watch: Mutex::new(channel(1).0.downgrade()),
        }
    }
}

/// Tells a page of changes until the time for a request is over. The browser comes back then.
pub(super) async fn changes(
    State(app): State<Arc<App>>,
    Query(shows): Query<Shows>,
) -> Result<Response, Problem> {
    let place = Arc::clone(&app.live.places).try_acquire_owned();
    let viewer = Viewer {
        _place: place.map_err(|_| Problem::busy())?,
        thread_id: match &*shows.id {
            "" => None,
            id => Some(ThreadId::new(id)?),
        },
        changes: join(&app).await?,
    };
    let events = viewer.events().take_until(sleep(app.options.timeout));
    let events = Sse::new(events).keep_alive(KeepAlive::default());
    Ok(events.into_response())
}

/// Joins those who are told, and begins to watch if they are the first.
async fn join(app: &Arc<App>) -> Result<Receiver<ThreadId>, Problem> {
    let mut watch = app.live.watch.lock().await;
    if let Some(told) = watch.upgrade() {
        return Ok(told.subscribe());
    }
    let changes = app.turn().await?.watch(Watch::all()).await?;
    let (told, first) = channel(KEPT);
    *watch = told.downgrade();
    tokio::spawn(tell(Arc::clone(app), changes, told));
    Ok(first)
}

/// Tells all pages of all changes, until there is no page or the watch has ended.
async fn tell(
    app: Arc<App>,
    mut changes: BoxStream<'static, checkpointer::Result<HeadChange>>,
    told: Sender<ThreadId>,
) {
    loop {
        tokio::select! {
            change = changes.next() => match change {
                // Without a page it is told to no one.
                Some(Ok(change)) => drop(told.send(change.thread_id().clone())),
                Some(Err(_)) | None => return,
            },
            () = told.closed() => {
                // No page can join while it is looked once more.
                let _watch = app.live.watch.lock().await;
                if told.receiver_count() == 0 {
                    drop(told);
                    return;
                }
            }
        }
    }
}

impl Viewer {
    /// An event at once, since something may have changed before, and one for each change that comes,
    /// or for several that come quickly.
    fn events(self) -> impl Stream<Item = Result<Event, Infallible>> {
        let hello = changed().retry(BACK_AFTER);
        let later = stream::unfold(self, async |mut viewer| {
            viewer.change().await?;
            Some((changed(), viewer))
        });
        stream::iter([hello]).chain(later).map(Ok)
    }

    /// Waits for the next change of what the page shows; none if the watch has ended.
    async fn change(&mut self) -> Option<()> {
        sleep(PAUSE).await;
        loop {
            match self.changes.recv().await {
                Ok(thread_id) if self.shows(&thread_id) => break,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return None,
            }
        }
        // Those that came meanwhile are told by the same event.
        self.changes = self.changes.resubscribe();
        Some(())
    }

    fn shows(&self, thread_id: &ThreadId) -> bool {
        self.thread_id
            .as_ref()
            .is_none_or(|shown| shown == thread_id)
    }
}

fn changed() -> Event {
    Event::default().data("changed")
}
