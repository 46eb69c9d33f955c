//! Notices that the database doesn't answer. A reader is told so at once, instead of after all the
//! attempts that a checkpointer makes for those who can wait.

use std::pin::pin;
use std::time::Duration;

use checkpointer::futures_util::TryStreamExt as _;
use checkpointer::{Checkpointer, ErrorKind, List, Projection};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::app::App;

/// How long a request takes before it is asked whether the database answers at all.
const QUIET: Duration = Duration::from_secs(2);

/// How long that may take: so many times this pause. In each of them others get on: a processor that is
/// busy with a large state is no database that is silent.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSES: usize = 20;

/// A thread that is asked for. It needn't be there.
const ANY_THREAD: &str = "is-the-database-there";

/// Asks whether the database answers: once at a time, however many requests want to know.
#[derive(Debug, Default)]
pub(super) struct Silence {
    last: Mutex<Option<Answer>>,
}

/// What the last question has come to.
#[derive(Debug)]
struct Answer {
    at: Instant,
    is_there: bool,
}

impl App {
    /// Waits until the database doesn't answer.
    pub(super) async fn silence(&self) {
        loop {
            sleep(QUIET).await;
            if !self.silence.is_there(&*self.checkpointer).await {
                return;
            }
        }
    }
}

impl Silence {
    async fn is_there(&self, checkpointer: &dyn Checkpointer) -> bool {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(answer) = last.as_ref().filter(|answer| answer.at >= asked) {
            return answer.is_there;
        }
        let is_there = answers(checkpointer).await;
        *last = Some(Answer {
            at: Instant::now(),
            is_there,
        });
        is_there
    }
}

/// Whether something is read in time, or refused for another reason.
async fn answers(checkpointer: &dyn Checkpointer) -> bool {
    let Ok(any) = List::thread(ANY_THREAD) else {
        return true;
    };
    let mut list = checkpointer.list(any.project(Projection::Metadata).limit(1));
    let mut first = pin!(list.try_next());
    for _ in 0..PAUSES {
        if let Ok(first) = timeout(PAUSE, &mut first).await {
            return first.map_or_else(|error| error.kind() != ErrorKind::Unavailable, |_| true);
        }
    }
    false
}
