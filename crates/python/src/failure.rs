//! Errors on their way to Python.

use std::error::Error as StdError;

use checkpointer::{Error, ErrorKind};
use db::Chain;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

/// The result of a call.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a call failed, with its causes.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: &'static str,
    /// What failed, and then the cause of each.
    messages: Vec<String>,
    is_transient: bool,
    is_outcome_unknown: bool,
    sqlstate: Option<String>,
}

impl Failure {
    fn new(kind: &'static str, error: &(dyn StdError + 'static)) -> Self {
        Self {
            kind,
            messages: messages(error),
            is_transient: false,
            is_outcome_unknown: false,
            sqlstate: None,
        }
    }

    /// The failure of a call that ended without an answer: it was cancelled, or it panicked.
    pub(crate) fn lost() -> Self {
        Self {
            kind: ErrorKind::Unavailable.as_str(),
            messages: vec!["the call ended without an answer".to_owned()],
            is_transient: false,
            is_outcome_unknown: true,
            sqlstate: None,
        }
    }

    /// The failure of a call on a list that the parent of this process has begun, with connections of its own.
    pub(crate) fn list_of_parent() -> Self {
        Self {
            kind: ErrorKind::Invalid.as_str(),
            messages: vec![
                "the list was begun before a fork; list again in this process".to_owned(),
            ],
            is_transient: false,
            is_outcome_unknown: false,
            sqlstate: None,
        }
    }
}

/// What an error and its causes say, as in a log: Python's tracebacks have the texts of all of them.
fn messages(error: &(dyn StdError + 'static)) -> Vec<String> {
    let links = Chain::new(error).links();
    links.map(|link| link.to_string()).collect()
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let sqlstate = match &error {
            Error::Database { source, .. } => source.code(),
            _ => None,
        };
        Self {
            is_transient: error.is_transient(),
            is_outcome_unknown: error.is_outcome_unknown(),
            sqlstate: sqlstate.map(|code| code.code().to_owned()),
            ..Self::new(error.kind().as_str(), &error)
        }
    }
}

impl From<db::Error> for Failure {
    fn from(error: db::Error) -> Self {
        let kind = match error.is_unavailable() {
            true => ErrorKind::Unavailable,
            false => ErrorKind::Internal,
        };
        Self {
            is_transient: error.is_transient(),
            is_outcome_unknown: error.is_outcome_unknown(),
            sqlstate: error.code().map(|code| code.code().to_owned()),
            ..Self::new(kind.as_str(), &error)
        }
    }
}

impl From<settings::Error> for Failure {
    fn from(error: settings::Error) -> Self {
        Self {
            // It has a line for each setting, which escapes what could end it.
            messages: vec![error.to_string()],
            ..Self::new(ErrorKind::Invalid.as_str(), &error)
        }
    }
}

impl From<langgraph::Error> for Failure {
    fn from(error: langgraph::Error) -> Self {
        Self::new(ErrorKind::Internal.as_str(), &error)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(ErrorKind::Invalid.as_str(), &error)
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| match to_exception(py, failure) {
            Ok(exception) => Self::from_value(exception),
            Err(error) => error,
        })
    }
}

/// Makes the exception, whose class is written in Python.
fn to_exception(py: Python<'_>, failure: Failure) -> PyResult<Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let class = CLASS.import(py, "langgraph.checkpoint.jsonb.errors", "CheckpointerError")?;
    let Failure {
        kind,
        messages,
        is_transient,
        is_outcome_unknown,
        sqlstate,
    } = failure;
    let arguments = (kind, messages, is_transient, is_outcome_unknown, sqlstate);
    class.call_method1("_from_native", arguments)
}
