//! Which refusal comes next.

use fastrand::Rng;
use rig::{REFUSALS, Refusal};

/// Refusals in an order by chance: each comes before any comes again.
pub(super) struct Deck {
    all: Vec<Refusal>,
    left: Vec<Refusal>,
}

impl Deck {
    /// Of those that may come when a client asks for a connection.
    pub(super) fn at_start() -> Self {
        Self::of(|refusal| refusal.at_start.is_some())
    }

    /// Of those that may be the answer to a statement.
    pub(super) fn later() -> Self {
        Self::of(|refusal| refusal.later.is_some())
    }

    fn of(fits: impl Fn(&&Refusal) -> bool) -> Self {
        Self {
            all: REFUSALS.iter().filter(fits).copied().collect(),
            left: Vec::new(),
        }
    }

    pub(super) fn next(&mut self, rng: &mut Rng) -> Refusal {
        if self.left.is_empty() {
            self.left.clone_from(&self.all);
            rng.shuffle(&mut self.left);
        }
        self.left.pop().expect("there are refusals")
    }
}
