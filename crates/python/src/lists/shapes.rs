//! What the items of a list are made of, so that later ones can be compared with them.

mod copy;
mod same;

use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PyList, PyType};

use copy::copy;
use same::is_of;

/// What a message's serialised form depends on: its fields, and what it has besides.
const FIELDS: &str = "__dict__";
const EXTRA: &str = "__pydantic_extra__";

/// The items of a list as they were when they were serialised, part by part.
///
/// It doesn't hold the items themselves, which may be changed in place, but only what never changes.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    /// The parts of all items, so that a comparison goes through memory from one end to the other.
    parts: Vec<Part>,
    ends: Vec<End>,
}

/// Where an item ends, and what it takes with those before it.
#[derive(Debug, Default, Clone, Copy)]
struct End {
    /// How many parts there are.
    parts: usize,
    /// About how much memory they take, with what the items' forms as JSON take.
    bytes: usize,
}

#[derive(Debug)]
enum Part {
    /// `None`, a `bool`, a number, a text or bytes.
    Plain(Py<PyAny>),
    /// A list of so many items, which follow.
    List(usize),
    /// A dict of so many members; the key and the value of each follow.
    Dict(usize),
    /// A message of a class; its fields and what it has besides follow.
    Message(Py<PyType>),
}

impl Shapes {
    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// How many items at the front of a list are serialised to the same bytes as these: they have the same
    /// parts, of the same types and in the same order.
    pub(super) fn count_same(&self, list: &Bound<'_, PyList>) -> usize {
        let mut parts = self.parts.iter();
        let items = list.iter().take(self.len());
        items.take_while(|item| is_of(&mut parts, item)).count()
    }

    /// Forgets the items from a place on.
    pub(super) fn truncate(&mut self, len: usize) {
        self.ends.truncate(len);
        self.parts.truncate(self.end().parts);
    }

    /// Adds a further item, and copies it. Returns none if the item has a part whose class isn't known: what
    /// it is serialised to may then depend on anything.
    ///
    /// The copy has the shape that is added, whatever becomes of the item meanwhile.
    pub(super) fn push<'py>(
        &mut self,
        item: &Bound<'py, PyAny>,
        messages: &Bound<'py, PyFrozenSet>,
    ) -> Option<Bound<'py, PyAny>> {
        let (copy, taken) = copy(item, messages, &mut self.parts)?;
        let (parts, bytes) = (self.parts.len(), self.end().bytes + taken);
        self.ends.push(End { parts, bytes });
        Some(copy)
    }

    /// About how much memory they take, with what the items' forms as JSON take.
    pub(super) fn bytes(&self) -> usize {
        self.end().bytes
    }

    fn end(&self) -> End {
        self.ends.last().copied().unwrap_or_default()
    }
}
