//! The runtime in which a database was connected: all of its work is done there.

use std::pin::{Pin, pin};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures_util::future::{Either, select};
use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Error, Result};

/// The Tokio runtime in which a database was connected.
///
/// Timers, sockets and tasks belong to a runtime and end with it. A call may come from another one,
/// or from none; its future is polled within this one, so that what it makes lasts as long as the
/// pool does.
#[derive(Debug)]
pub(crate) struct Runtime {
    handle: Handle,
    life: Arc<Life>,
    /// Ends the task that waits for the runtime's end.
    _watched: DropGuard,
}

#[derive(Debug, Default)]
struct Life {
    /// Locked for reading by each poll. The runtime's end waits for them, because polling a timer
    /// of a runtime that has ended panics.
    over: RwLock<bool>,
    ended: CancellationToken,
}

/// Notes the runtime's end: a runtime drops its tasks before its timers.
struct Watch(Arc<Life>);

impl Drop for Watch {
    fn drop(&mut self) {
        *self.0.over.write().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.ended.cancel();
    }
}

impl Runtime {
    /// The runtime of the caller.
    pub(crate) fn current() -> Self {
        let handle = Handle::current();
        let life = Arc::<Life>::default();
        let watched = CancellationToken::new();
        let watch = Watch(Arc::clone(&life));
        let unwatched = watched.clone();
        handle.spawn(async move {
            let _watch = watch;
            unwatched.cancelled().await;
        });
        Self {
            handle,
            life,
            _watched: watched.drop_guard(),
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.life.ended.is_cancelled()
    }

    /// Polls a future within the runtime, and drops it there; nothing comes of it once the runtime
    /// has ended, which the next poll finds out. One such future must not poll another.
    pub(crate) fn poll<'a, F: Future>(&'a self, work: Pin<&'a mut Option<F>>) -> Within<'a, F> {
        Within {
            runtime: self,
            work,
        }
    }

    /// The same for a call that nothing wakes when the runtime ends.
    ///
    /// # Errors
    ///
    /// [`Error::RuntimeEnded`], at once.
    pub(crate) async fn run<F: Future>(&self, work: Pin<&mut Option<F>>) -> Result<F::Output> {
        let ended = pin!(self.life.ended.cancelled());
        match select(self.poll(work), ended).await {
            Either::Left((Some(done), _)) => Ok(done),
            Either::Left((None, _)) | Either::Right(_) => Err(Error::RuntimeEnded),
        }
    }
}

/// A future whose polls and whose drop happen within the runtime.
pub(crate) struct Within<'a, F> {
    runtime: &'a Runtime,
    work: Pin<&'a mut Option<F>>,
}

impl<F: Future> Future for Within<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<F::Output>> {
        let runtime = self.runtime;
        let over = runtime.life.over.read();
        let over = over.unwrap_or_else(PoisonError::into_inner);
        if *over {
            return Poll::Ready(None);
        }
        let _entered = runtime.handle.enter();
        match self.work.as_mut().as_pin_mut() {
            Some(work) => work.poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}

impl<F> Drop for Within<'_, F> {
    fn drop(&mut self) {
        let _entered = self.runtime.handle.enter();
        self.work.set(None);
    }
}
