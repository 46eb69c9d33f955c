//! A list as it was serialised last, and what it becomes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use checkpointer::TrackedList;
use langgraph::Serialized;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList};
use serde_json::Value;

use super::Channel;
use super::shapes::Shapes;

/// A list as it was serialised, item by item.
#[derive(Debug, Default)]
pub(super) struct Known {
    shapes: Shapes,
    /// The items' forms. A put that is under way may hold them as well.
    form: TrackedList,
}

impl Known {
    /// Forgets the items from the first on that differs from the list's. Returns how many are left.
    pub(super) fn keep(&mut self, list: &Bound<'_, PyList>) -> usize {
        let same = self.shapes.count_same(list);
        self.shapes.truncate(same);
        self.form.truncate(same);
        same
    }

    /// Takes the shapes of further items, and returns copies of them, which are to be serialised. Returns
    /// none if one of them can't be followed.
    pub(super) fn record<'py>(
        &mut self,
        items: &Bound<'py, PyList>,
        messages: &Bound<'py, PyFrozenSet>,
    ) -> Option<Vec<Bound<'py, PyAny>>> {
        let items = items.iter();
        let copies = items.map(|item| self.shapes.push(&item, messages));
        copies.collect()
    }

    /// Adds the forms of the items that were recorded. Returns whether these are they.
    fn extend(&mut self, form: Value) -> bool {
        let Value::Array(new) = form else {
            return false;
        };
        self.form.extend(new);
        self.is_complete()
    }

    fn is_complete(&self) -> bool {
        self.form.items().len() == self.shapes.len()
    }

    /// The list's form as JSON.
    pub(super) fn form(&self) -> TrackedList {
        self.form.clone()
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.shapes.bytes()
    }
}

/// The list of a channel that is to be put.
#[pyclass(frozen, module = "langgraph.checkpoint.jsonb._native")]
#[derive(Debug)]
pub(crate) struct KnownList {
    channel: Channel,
    known: Mutex<Option<Known>>,
}

impl KnownList {
    pub(super) fn new(channel: Channel, known: Known) -> Self {
        Self {
            channel,
            known: Mutex::new(Some(known)),
        }
    }

    /// Takes the list out, to be put; none if that was done, or if its new items weren't serialised.
    pub(super) fn take(&self) -> Option<(Channel, Known)> {
        let known = self.lock().take().filter(Known::is_complete)?;
        Some((self.channel.clone(), known))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl KnownList {
    /// Takes what the serialiser made of the new items. Returns whether it is a list of them.
    fn extend(&self, type_name: String, bytes: Vec<u8>) -> bool {
        let form = Serialized::new(type_name, bytes).to_json();
        let mut known = self.lock();
        known.as_mut().is_some_and(|known| known.extend(form))
    }
}
