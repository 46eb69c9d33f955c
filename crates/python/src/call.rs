//! How a call is made: one waits for its outcome, or an inbox gets it.

use std::pin::pin;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::time;

use crate::answer::Answer;
use crate::failure::Result;
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

/// Waits without Python's lock. Signals are looked after in between: a call that is interrupted is
/// dropped, and what it has sent goes on.
fn wait(py: Python<'_>, work: impl Future<Output = Result<Answer>> + Send) -> PyResult<Answer> {
    let runtime = runtime(py)?;
    py.detach(|| {
        runtime.block_on(async {
            let mut work = pin!(work);
            loop {
                match time::timeout(PATIENCE, &mut work).await {
                    Ok(outcome) => return Ok(outcome?),
                    Err(_elapsed) => check_signals()?,
                }
            }
        })
    })
}

/// Runs Python's signal handlers, if this is its main thread. While Python ends there are none.
fn check_signals() -> PyResult<()> {
    Python::try_attach(|py| py.check_signals()).unwrap_or(Ok(()))
}
