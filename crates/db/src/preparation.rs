//! Where the statements of a connection are prepared, and which of them no longer can be.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use crate::Statement;

/// How many statements are remembered that a pooler can't prepare any more.
const UNPREPARABLE: NonZeroUsize = NonZeroUsize::new(256).unwrap();

/// Where the statements of a connection are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Preparation {
    /// In the session, which is this connection's own.
    InSession,
    /// By a pooler, which prepares them in each session that it uses, under names of its own.
    ByPooler,
    /// Nowhere: each is sent with its text.
    Nowhere,
}

impl Preparation {
    /// What logs say of the statements.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::InSession => "prepared",
            Self::ByPooler => "prepared by the pooler",
            Self::Nowhere => "unprepared",
        }
    }
}

/// The statements that a pooler can't prepare any more: it keeps what it has prepared under their
/// text, for all its clients, although the server no longer accepts that.
#[derive(Debug)]
pub(crate) struct Unpreparable {
    /// There is hardly ever one, and every call asks.
    is_empty: AtomicBool,
    statements: Mutex<LruCache<Statement, ()>>,
}

impl Unpreparable {
    pub(crate) fn contains(&self, statement: &Statement) -> bool {
        !self.is_empty.load(Ordering::Relaxed) && self.statements().get(statement).is_some()
    }

    pub(crate) fn add(&self, statement: &Statement) {
        self.statements().put(statement.clone(), ());
        self.is_empty.store(false, Ordering::Relaxed);
    }

    fn statements(&self) -> MutexGuard<'_, LruCache<Statement, ()>> {
        self.statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Unpreparable {
    fn default() -> Self {
        Self {
            is_empty: AtomicBool::new(true),
            statements: Mutex::new(LruCache::new(UNPREPARABLE)),
        }
    }
}
