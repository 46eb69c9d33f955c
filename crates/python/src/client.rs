//! What Python calls.

use std::collections::HashMap;
use std::mem;
use std::process;
use std::sync::{Arc, Mutex, PoisonError};

use checkpointer::PruneStrategy;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList};
use settings::Settings;

use crate::answer::Answer;
use crate::call::call;
use crate::connected::{Connected, Options};
use crate::failure::Failure;
use crate::inbox::Inbox;
use crate::lists::{KnownList, Lists};
use crate::read::{self, Listing, Selection, Target};
use crate::write::{self, Given, GivenValue, NewCheckpoint, NewWrites};

/// About how much memory goes to remembering what is stored.
const CACHE_BYTES: usize = 128 << 20;

/// A checkpointer in PostgreSQL.
///
/// It connects when it is first used, and in each process anew.
#[pyclass(frozen, module = "langgraph.checkpoint.jsonb._native")]
#[derive(Debug)]
pub(crate) struct Client {
    settings: Settings,
    options: Options,
    lists: Lists,
    /// The process that has connected, and its connection.
    connected: Mutex<Option<(u32, Arc<Connected>)>>,
}

impl Client {
    /// The checkpointer of this process. In a child that was forked the parent's is left alone: its
    /// connections are the parent's.
    ///
    /// The lock is free after a fork: only holders of Python's lock take it, as a fork does.
    fn connected(&self, _py: Python<'_>) -> Arc<Connected> {
        let mut connected = self
            .connected
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pid = process::id();
        if let Some((of, connected)) = &*connected
            && *of == pid
        {
            return Arc::clone(connected);
        }
        let new = Arc::new(Connected::new(self.settings.clone(), self.options));
        mem::forget(connected.replace((pid, Arc::clone(&new))));
        new
    }
}

impl Drop for Client {
    /// In a child that was forked, what its parent has connected is left alone: its tasks are of a runtime without
    /// threads, whose locks a thread of the parent may have held.
    fn drop(&mut self) {
        let connected = self.connected.get_mut();
        let connected = connected.unwrap_or_else(PoisonError::into_inner);
        if let Some((of, _)) = connected
            && *of != process::id()
        {
            mem::forget(connected.take());
        }
    }
}

#[pymethods]
impl Client {
    /// Takes the settings as variables, `DATABASE_URL` and `DB_…`.
    #[new]
    #[pyo3(signature = (variables, *, synchronous_commit, cache_bytes, max_thread_bytes))]
    fn new(
        variables: HashMap<String, String>,
        synchronous_commit: bool,
        cache_bytes: Option<usize>,
        max_thread_bytes: Option<u64>,
    ) -> PyResult<Self> {
        // A quarter is for the lists here, the rest for what the checkpointer remembers.
        let cache_bytes = cache_bytes.unwrap_or(CACHE_BYTES);
        let lists = cache_bytes / 4;
        Ok(Self {
            settings: Settings::from_iter(variables).map_err(Failure::from)?,
            options: Options {
                synchronous_commit,
                cache_bytes: cache_bytes - lists,
                max_thread_bytes,
            },
            lists: Lists::new(lists),
            connected: Mutex::new(None),
        })
    }

    fn connect<'py>(&self, py: Python<'py>, inbox: Option<&Inbox>) -> PyResult<Bound<'py, PyAny>> {
        let connected = self.connected(py);
        call(py, inbox, async move {
            connected.database().await?;
            Ok(Answer::Nothing)
        })
    }

    fn setup<'py>(&self, py: Python<'py>, inbox: Option<&Inbox>) -> PyResult<Bound<'py, PyAny>> {
        let connected = self.connected(py);
        call(py, inbox, async move {
            connected.setup().await?;
            Ok(Answer::Nothing)
        })
    }

    fn close<'py>(&self, py: Python<'py>, inbox: Option<&Inbox>) -> PyResult<Bound<'py, PyAny>> {
        let connected = self.connected(py);
        call(py, inbox, async move {
            connected.close().await?;
            Ok(Answer::Nothing)
        })
    }

    /// Compares the list of a channel with the one put last. Returns it with copies of its new items,
    /// which are to be serialised; none if it has items that can't be compared with later ones.
    fn follow<'py>(
        &self,
        thread_id: String,
        checkpoint_ns: String,
        channel: String,
        list: &Bound<'py, PyList>,
        messages: &Bound<'py, PyFrozenSet>,
    ) -> Option<(KnownList, Vec<Bound<'py, PyAny>>)> {
        let channel = (thread_id, checkpoint_ns, channel);
        self.lists.follow(channel, list, messages)
    }

    #[expect(clippy::too_many_arguments, reason = "Python hands over all at once")]
    fn put<'py>(
        &self,
        py: Python<'py>,
        inbox: Option<&Inbox>,
        thread_id: String,
        checkpoint_ns: String,
        parent_id: Option<String>,
        checkpoint: String,
        values: Vec<GivenValue<'py>>,
        metadata: String,
        new_versions: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let put = NewCheckpoint {
            thread_id,
            checkpoint_ns,
            parent_id,
            checkpoint,
            metadata,
            new_versions,
            values: write::channels(values, &self.lists)?,
        };
        call(py, inbox, put.put(self.connected(py)))
    }

    #[expect(clippy::too_many_arguments, reason = "Python hands over all at once")]
    fn put_writes<'py>(
        &self,
        py: Python<'py>,
        inbox: Option<&Inbox>,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: String,
        task_id: String,
        task_path: String,
        writes: Vec<Given<'py>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let put = NewWrites {
            thread_id,
            checkpoint_ns,
            checkpoint_id,
            task_id,
            task_path,
            writes: write::values(writes)?,
        };
        call(py, inbox, put.put(self.connected(py)))
    }

    fn get_tuple<'py>(
        &self,
        py: Python<'py>,
        inbox: Option<&Inbox>,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let target = Target {
            thread_id,
            checkpoint_ns,
            checkpoint_id,
        };
        call(py, inbox, read::get_tuple(self.connected(py), target))
    }

    fn channel_history<'py>(
        &self,
        py: Python<'py>,
        inbox: Option<&Inbox>,
        thread_id: String,
        checkpoint_ns: String,
        checkpoint_id: Option<String>,
        channels: Vec<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let target = Target {
            thread_id,
            checkpoint_ns,
            checkpoint_id,
        };
        let work = read::channel_history(self.connected(py), target, channels);
        call(py, inbox, work)
    }

    #[expect(clippy::too_many_arguments, reason = "Python hands over all at once")]
    fn list(
        &self,
        py: Python<'_>,
        thread_id: Option<String>,
        checkpoint_ns: Option<String>,
        checkpoint_id: Option<String>,
        filter: Option<String>,
        before: Option<String>,
        limit: Option<usize>,
    ) -> Listing {
        let selection = Selection {
            thread_id,
            checkpoint_ns,
            checkpoint_id,
            filter,
            before,
            limit,
        };
        Listing::new(self.connected(py), selection)
    }

    fn delete_thread<'py>(
        &self,
        py: Python<'py>,
        inbox: Option<&Inbox>,
        thread_id: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        call(
            py,
            inbox,
            write::delete_thread(self.connected(py), thread_id),
        )
    }

    fn delete_for_runs<'py>(
        &self,
        py: Python<'py>,
        inbox: Option<&Inbox>,
        run_ids: Vec<String>,
    ) -> PyResult<Bound<'py, PyAny>> {
        call(
            py,
            inbox,
            write::delete_for_runs(self.connected(py), run_ids),
        )
    }

    fn copy_thread<'py>(
        &self,
        py: Python<'py>,
        inbox: Option<&Inbox>,
        source: String,
        target: String,
    ) -> PyResult<Bound<'py, PyAny>> {
        let work = write::copy_thread(self.connected(py), source, target);
        call(py, inbox, work)
    }

    fn prune<'py>(
        &self,
        py: Python<'py>,
        inbox: Option<&Inbox>,
        thread_ids: Vec<String>,
        strategy: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let strategy = match strategy {
            "keep_latest" => PruneStrategy::KeepLatest,
            "delete" | "delete_all" => PruneStrategy::Delete,
            other => {
                let message = format!("unknown prune strategy: {other:?}");
                return Err(PyValueError::new_err(message));
            }
        };
        let work = write::prune(self.connected(py), thread_ids, strategy);
        call(py, inbox, work)
    }
}
