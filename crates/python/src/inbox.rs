//! Where the outcomes of calls wait for their event loop.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use tokio::task::AbortHandle;

use crate::answer::Answer;
use crate::failure::{Failure, Result};
use crate::runtime::runtime;

/// Takes the outcomes of calls that were made in an event loop, which watches its file: it can be read
/// from once there are some. So no thread of the runtime ever waits for Python's lock.
#[pyclass(frozen, module = "langgraph.checkpoint.jsonb._native")]
#[derive(Debug)]
pub(crate) struct Inbox {
    shared: Arc<Shared>,
    watched: UnixStream,
    next_number: AtomicU64,
    /// The calls under way.
    calls: Mutex<HashMap<u64, AbortHandle>>,
}

#[derive(Debug)]
struct Shared {
    outcomes: Mutex<Vec<(u64, Result<Answer>)>>,
    bell: UnixStream,
}

/// The outcome of a call in the making. However the call ends, there is one.
struct Delivery {
    shared: Arc<Shared>,
    number: u64,
    outcome: Option<Result<Answer>>,
}

/// What came of a call: its number, its answer, and an exception if it failed.
type Delivered<'py> = (u64, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>);

#[pymethods]
impl Inbox {
    #[new]
    fn new() -> PyResult<Self> {
        let (bell, watched) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        watched.set_nonblocking(true)?;
        let outcomes = Mutex::default();
        Ok(Self {
            shared: Arc::new(Shared { outcomes, bell }),
            watched,
            next_number: AtomicU64::new(0),
            calls: Mutex::default(),
        })
    }

    /// The file that can be read from once there are outcomes.
    fn fileno(&self) -> i32 {
        self.watched.as_raw_fd()
    }

    /// Takes all outcomes that have come.
    fn take<'py>(&self, py: Python<'py>) -> Vec<Delivered<'py>> {
        self.silence();
        let outcomes = std::mem::take(&mut *lock(&self.shared.outcomes));
        let mut calls = lock(&self.calls);
        for (number, _) in &outcomes {
            calls.remove(number);
        }
        drop(calls);
        let outcomes = outcomes.into_iter();
        outcomes
            .map(|(number, outcome)| delivered(py, number, outcome))
            .collect()
    }

    /// Drops a call. What it has sent goes on.
    fn cancel(&self, number: u64) {
        if let Some(call) = lock(&self.calls).remove(&number) {
            call.abort();
        }
    }
}

impl Inbox {
    /// Starts a call, and returns the number of its outcome.
    pub(crate) fn start(
        &self,
        py: Python<'_>,
        work: impl Future<Output = Result<Answer>> + Send + 'static,
    ) -> PyResult<u64> {
        let runtime = runtime(py)?;
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let delivery = Delivery {
            shared: Arc::clone(&self.shared),
            number,
            outcome: None,
        };
        let call = runtime.spawn(async move { delivery.end(work.await) });
        lock(&self.calls).insert(number, call.abort_handle());
        Ok(number)
    }

    fn silence(&self) {
        let mut rings = [0; 64];
        while (&self.watched)
            .read(&mut rings)
            .is_ok_and(|read| read == rings.len())
        {}
    }
}

impl Delivery {
    fn end(mut self, outcome: Result<Answer>) {
        self.outcome = Some(outcome);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        let outcome = self.outcome.take();
        let outcome = outcome.unwrap_or_else(|| Err(Failure::lost()));
        let mut outcomes = lock(&self.shared.outcomes);
        outcomes.push((self.number, outcome));
        let is_first = outcomes.len() == 1;
        drop(outcomes);
        if is_first {
            // A bell that can't ring has rung already, or belongs to a loop that is gone.
            let _ = (&self.shared.bell).write(&[1]);
        }
    }
}

fn delivered(py: Python<'_>, number: u64, outcome: Result<Answer>) -> Delivered<'_> {
    let answer = outcome.map_err(PyErr::from);
    match answer.and_then(|answer| answer.into_python(py)) {
        Ok(answer) => (number, Some(answer), None),
        Err(error) => (
            number,
            None,
            Some(error.into_value(py).into_bound(py).into_any()),
        ),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
