//! The native part of `langgraph-checkpoint-jsonb`: LangGraph's checkpoint savers in Python, on
//! `PostgresCheckpointer`.
//!
//! It is thin: Python serialises the values and hands over texts and bytes; here they become JSON and go
//! to the checkpointer. Of a list that was put before, Python serialises the items that are new. A call that is given an inbox returns at once, and its outcome comes to the inbox,
//! which wakes an event loop; one that isn't waits. No thread but Python's own ever runs Python.

mod client;

mod read;
mod write;

mod lists;

mod call;
mod inbox;

mod answer;
mod connected;
mod failure;
mod runtime;

use pyo3::prelude::*;

#[pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use crate::client::Client;
    #[pymodule_export]
    use crate::inbox::Inbox;
    #[pymodule_export]
    use crate::lists::KnownList;
    #[pymodule_export]
    use crate::read::Listing;
}
