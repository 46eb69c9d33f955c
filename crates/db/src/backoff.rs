//! The pauses between attempts.

use std::time::Duration;

/// The pauses between attempts: each up to twice as long as the one before, and shortened by chance
/// to no less than half, so that those who fail together don't try again together.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Begins with a pause of up to `first`. None is longer than `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            next: first.min(longest),
            longest,
        }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = self.next.saturating_mul(2).min(self.longest);
        pause
    }
}
