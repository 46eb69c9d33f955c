//! How many chunks a step of a sweep removes, and how long the pause after it is.

use std::time::Duration;

/// How many chunks a step removes at least and at most.
const SMALLEST_STEP: usize = 1_000;
const LARGEST_STEP: usize = 64_000;

/// For how long a step should hold the lock of its thread.
const HOLDS_FOR: Duration = Duration::from_millis(20);

/// How long the pause after a step is at least. It leaves a writer the time to look at the thread, which each
/// step changes, and then to put.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// The size of the next step.
///
/// A step takes time for the chunks that it removes, and for the checkpoints of the thread, of which it looks
/// for those that were written since. Where these take most of it, steps of a larger size take hardly longer,
/// and there are fewer. So the size is doubled for as long as that is so.
#[derive(Debug)]
pub(super) struct Pace {
    size: usize,
    /// How long a step of half the size took.
    half: Option<Duration>,
    is_settled: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self {
            size: SMALLEST_STEP,
            half: None,
            is_settled: false,
        }
    }

    /// How many chunks the next step removes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Notes for how long a step of this size held the lock, and says for how long to leave it to others.
    pub(super) fn pause_after(&mut self, held: Duration) -> Duration {
        if !self.is_settled {
            self.adapt(held);
        }
        held.max(SHORTEST_PAUSE)
    }

    fn adapt(&mut self, held: Duration) {
        if self.half.is_some_and(|half| held > half * 3 / 2) {
            self.size /= 2;
            self.is_settled = true;
        } else if held > HOLDS_FOR && self.size < LARGEST_STEP {
            self.size *= 2;
            self.half = Some(held);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the first steps, where reading the thread and removing a thousand chunks take so many
    /// milliseconds.
    fn sizes(thread: u64, thousand: u64) -> Vec<usize> {
        let mut pace = Pace::new();
        let step = |_| {
            let size = pace.size();
            let held = Duration::from_millis(thread + thousand * size as u64 / 1_000);
            assert!(pace.pause_after(held) >= held);
            size
        };
        (0..9).map(step).collect()
    }

    #[test]
    fn steps_are_larger_where_reading_the_thread_takes_most_of_their_time() {
        assert_eq!(sizes(0, 5), [1_000; 9]);
        assert_eq!(
            sizes(0, 50),
            [
                1_000, 2_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000, 1_000
            ]
        );
        assert_eq!(
            sizes(100, 5),
            [
                1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 32_000, 32_000
            ]
        );
        assert_eq!(sizes(1_000, 1)[6..], [64_000; 3]);
    }

    #[test]
    fn a_pause_is_as_long_as_its_step_and_long_enough_for_a_writer() {
        let mut pace = Pace::new();
        assert_eq!(pace.pause_after(Duration::ZERO), SHORTEST_PAUSE);
        let long = Duration::from_secs(2);
        assert_eq!(pace.pause_after(long), long);
    }
}
