//! The pauses between attempts.

use std::time::Duration;

/// The pauses between attempts: each may be twice as long as the one before. Chance shortens each,
/// so that those who fail together don't try again together.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use db::Backoff;
///
/// let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));
/// assert!(backoff.pause() <= Duration::from_millis(5));
/// assert!(backoff.pause() <= Duration::from_millis(10));
/// ```
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
        let pause = self.next.mul_f64(fastrand::f64());
        self.next = self.next.saturating_mul(2).min(self.longest);
        pause
    }
}
