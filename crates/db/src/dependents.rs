//! What depends on a pool, and has to finish its work before the pool closes.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

pub(crate) type Failure = Box<dyn StdError + Send + Sync>;

type Finishing = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// What has to finish its work before a pool closes.
#[derive(Default)]
pub(crate) struct Dependents(Mutex<Vec<Dependent>>);

struct Dependent {
    who: Weak<dyn Any + Send + Sync>,
    finish: Arc<dyn Fn() -> Option<Finishing> + Send + Sync>,
}

impl Dependents {
    /// Adds one, to be finished if it still exists then.
    pub(crate) fn add<T, F>(
        &self,
        dependent: &Arc<T>,
        finish: impl Fn(Arc<T>) -> F + Send + Sync + 'static,
    ) where
        T: Send + Sync + 'static,
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let weak = Arc::downgrade(dependent);
        let who = Weak::clone(&weak);
        let finish = Arc::new(move || Some(Box::pin(finish(weak.upgrade()?)) as Finishing));
        let mut dependents = self.lock();
        dependents.retain(|known| known.who.strong_count() > 0);
        dependents.push(Dependent { who, finish });
    }

    /// Begins to finish each.
    pub(crate) fn finish(&self) -> Vec<Finishing> {
        let finish: Vec<_> = (self.lock().iter())
            .map(|known| Arc::clone(&known.finish))
            .collect();
        // Without the lock: one of them may add another.
        finish.iter().filter_map(|finish| finish()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Dependent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Dependents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dependents").finish_non_exhaustive()
    }
}
