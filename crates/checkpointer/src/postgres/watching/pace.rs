//! How often to look.

use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Between two looks at least, so that many puts at once are found by one.
const SHORTEST: Duration = Duration::from_millis(20);

/// A look may take a twentieth of the time.
const PAUSES_PER_LOOK: u32 = 19;

/// That rest isn't longer than this, nor is the pause after a failure, which was retried already.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The pauses between looks.
pub(super) struct Pace {
    longest: Duration,
    /// Without news.
    next: Duration,
    /// Whatever is new.
    least: Duration,
}

impl Pace {
    pub(super) fn new(longest: Duration) -> Self {
        Self {
            longest: longest.max(SHORTEST),
            next: SHORTEST,
            least: SHORTEST,
        }
    }

    /// A look has found so many changes, and took so long.
    pub(super) fn looked(&mut self, changes: usize, took: Duration) {
        self.next = match changes {
            0 => self.longest.min(2 * self.next),
            _ => SHORTEST,
        };
        self.least = (PAUSES_PER_LOOK * took).clamp(SHORTEST, LONGEST_REST);
    }

    pub(super) fn failed(&mut self) {
        (self.next, self.least) = (LONGEST_REST, LONGEST_REST);
    }

    /// Waits for the time of the next look, which news make earlier.
    pub(super) async fn pause(&self, news: &Notify) {
        let now = Instant::now();
        sleep_until(now + self.least).await;
        let _ = timeout_at(now + self.next, news.notified()).await;
    }
}
