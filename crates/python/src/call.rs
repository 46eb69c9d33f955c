//! How a call is made: one waits for its outcome, or an inbox gets it.

use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::Runtime;
use tokio::time;
use tokio::time::error::Elapsed;

use crate::answer::Answer;
use crate::failure::{Failure, Result};
use crate::inbox::Inbox;
use crate::runtime::runtime;

/// How long a waiting call may take to notice Ctrl-C.
const PATIENCE: Duration = Duration::from_millis(50);

/// Makes a call: with an inbox it returns the number of the call's outcome there, and without one it
/// waits and returns the answer.
pub(crate) fn call<'py>(
    py: Python<'py>,
    inbox: Option<&Inbox>,
    work: impl Future<Output = Result<Answer>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    match inbox {
        Some(inbox) => Ok(inbox.start(py, work)?.into_pyobject(py)?.into_any()),
        None => wait(py, work)?.into_python(py),
    }
}

/// Waits without Python's lock. A call that is interrupted is dropped, and what it has sent goes on.
///
/// Most calls are short, and this thread does their work. A longer one goes on in the runtime, so that this
/// thread can run Python's signal handlers: a handler may make calls itself, and wait for this one with them.
fn wait(
    py: Python<'_>,
    work: impl Future<Output = Result<Answer>> + Send + 'static,
) -> PyResult<Answer> {
    let runtime = runtime(py)?;
    let outcome = py.detach(|| {
        let mut work = Box::pin(work);
        match patiently(runtime, &mut work) {
            Ok(outcome) => Ok(outcome),
            Err(_elapsed) => wait_with_signals(runtime, work),
        }
    })?;
    Ok(outcome?)
}

/// Lets the runtime do the work, and runs signal handlers meanwhile.
fn wait_with_signals(
    runtime: &Runtime,
    work: impl Future<Output = Result<Answer>> + Send + 'static,
) -> PyResult<Result<Answer>> {
    let mut task = runtime.spawn(work);
    loop {
        if let Err(interrupted) = check_signals() {
            task.abort();
            return Err(interrupted);
        }
        if let Ok(ended) = patiently(runtime, &mut task) {
            return Ok(ended.unwrap_or_else(|_panicked| Err(Failure::lost())));
        }
    }
}

fn patiently<F: Future + Unpin>(runtime: &Runtime, work: &mut F) -> Result<F::Output, Elapsed> {
    runtime.block_on(async { time::timeout(PATIENCE, work).await })
}

/// Runs Python's signal handlers, if this is its main thread. While Python ends there are none.
///
/// It must not be called within the runtime: handlers may make calls that wait, and so may finalizers, which
/// Python runs here as well.
fn check_signals() -> PyResult<()> {
    Python::try_attach(|py| py.check_signals()).unwrap_or(Ok(()))
}
