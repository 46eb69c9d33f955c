//! The one Tokio runtime of the process.

use std::process;
use std::sync::Mutex;

use pyo3::prelude::*;
use tokio::runtime::{Builder, Runtime};

/// The runtime, and the process that made it.
static RUNTIME: Mutex<Option<(u32, &'static Runtime)>> = Mutex::new(None);

/// At most so many threads: the server does most of the work.
const MAX_THREADS: usize = 4;

/// Of so many cores one has a thread: Python and, on the same machine, the server need the others.
const CORES_PER_THREAD: usize = 2;

/// Returns the runtime of this process. Of a parent that was forked only the memory is left, and none of
/// its threads, so a child makes a runtime of its own and never drops the parent's.
///
/// The lock is free after a fork: only holders of Python's lock take it, as a fork does.
pub(crate) fn runtime(_py: Python<'_>) -> PyResult<&'static Runtime> {
    let mut current = RUNTIME
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    let pid = process::id();
    if let Some((made_by, runtime)) = *current
        && made_by == pid
    {
        return Ok(runtime);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = Builder::new_multi_thread()
        .worker_threads((cores / CORES_PER_THREAD).clamp(1, MAX_THREADS))
        .thread_name("checkpointer")
        .enable_all()
        .build()?;
    let runtime: &'static Runtime = Box::leak(Box::new(runtime));
    *current = Some((pid, runtime));
    Ok(runtime)
}
