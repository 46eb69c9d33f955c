//! A list as it was serialised last, and what it becomes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use langgraph::Serialized;
use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList};
use serde_json::Value;

use super::Channel;
use super::shape::Shape;

/// A list as it was serialised, item by item.
#[derive(Debug)]
pub(super) struct Known {
    shapes: Vec<Shape>,
    /// The items' forms. A put that is under way may hold them as well.
    form: Arc<Value>,
}

impl Default for Known {
    fn default() -> Self {
        let (shapes, form) = (Vec::new(), Arc::new(Value::Array(Vec::new())));
        Self { shapes, form }
    }
}

impl Known {
    /// Forgets the items from the first on that differs from the list's. Returns how many are left.
    pub(super) fn keep(&mut self, list: &Bound<'_, PyList>) -> usize {
        let same = list.iter().zip(&self.shapes);
        let same = same.take_while(|(item, shape)| shape.is_of(item)).count();
        if same < self.shapes.len() {
            self.shapes.truncate(same);
            if let Value::Array(items) = Arc::make_mut(&mut self.form) {
                items.truncate(same);
            }
        }
        same
    }

    /// Takes the shapes of further items, and returns copies of them, which are to be serialised. Returns
    /// none if one of them can't be followed.
    pub(super) fn record<'py>(
        &mut self,
        items: &Bound<'py, PyList>,
        messages: &Bound<'py, PyFrozenSet>,
    ) -> Option<Vec<Bound<'py, PyAny>>> {
        let copy = |item| {
            let (shape, copy) = Shape::of(&item, messages)?;
            self.shapes.push(shape);
            Some(copy)
        };
        items.iter().map(copy).collect()
    }

    /// Adds the forms of the items that were recorded. Returns whether these are they.
    fn extend(&mut self, form: Value) -> bool {
        let (Value::Array(new), Value::Array(items)) = (form, Arc::make_mut(&mut self.form)) else {
            return false;
        };
        items.extend(new);
        self.is_complete()
    }

    fn is_complete(&self) -> bool {
        let items = self.form.as_array().map(Vec::len);
        items == Some(self.shapes.len())
    }

    /// The list's form as JSON.
    pub(super) fn form(&self) -> Arc<Value> {
        Arc::clone(&self.form)
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        self.shapes.iter().map(Shape::bytes).sum()
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
