//! What the items of a list are made of, so that later ones can be compared with them.

use std::slice;

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyType,
};

/// How many lists, dicts and messages may lie inside each other.
const MAX_DEPTH: usize = 64;

/// About how much memory a part takes, with what its form as JSON takes.
const PART_BYTES: usize = 96;

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
        let End { bytes, .. } = self.end();
        let parts = &mut self.parts;
        let mut recorder = Recorder {
            messages,
            parts,
            bytes,
        };
        let copy = recorder.copy(item, MAX_DEPTH)?;
        let Recorder { parts, bytes, .. } = recorder;
        let parts = parts.len();
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

fn is_of(parts: &mut slice::Iter<'_, Part>, value: &Bound<'_, PyAny>) -> bool {
    match parts.next() {
        None => false,
        Some(Part::Plain(plain)) => is_same(plain.bind(value.py()), value),
        Some(Part::List(len)) => value
            .cast_exact::<PyList>()
            .is_ok_and(|list| list.len() == *len && has_items(parts, list, *len)),
        Some(Part::Dict(len)) => value
            .cast_exact::<PyDict>()
            .is_ok_and(|dict| dict.len() == *len && has_members(parts, dict, *len)),
        Some(Part::Message(class)) => {
            value.get_type_ptr() == class.bind(value.py()).as_type_ptr()
                && contents(value)
                    .is_ok_and(|[fields, extra]| is_of(parts, &fields) && is_of(parts, &extra))
        }
    }
}

/// Whether a list of so many items is as it was. Most of those in a message are empty.
fn has_items(parts: &mut slice::Iter<'_, Part>, list: &Bound<'_, PyList>, len: usize) -> bool {
    len == 0 || list.iter().all(|item| is_of(parts, &item))
}

/// Whether a dict of so many members is as it was. Most of those in a message are empty.
fn has_members(parts: &mut slice::Iter<'_, Part>, dict: &Bound<'_, PyDict>, len: usize) -> bool {
    len == 0 || (dict.iter()).all(|(key, value)| is_of(parts, &key) && is_of(parts, &value))
}

/// Whether two values that never change are serialised to the same bytes.
fn is_same(before: &Bound<'_, PyAny>, now: &Bound<'_, PyAny>) -> bool {
    if before.is(now) {
        return true;
    }
    if !before.get_type().is(now.get_type()) {
        return false;
    }
    match (before.cast_exact::<PyFloat>(), now.cast_exact::<PyFloat>()) {
        // -0.0 equals 0.0, and NaN not even itself.
        (Ok(before), Ok(now)) => before.value().to_bits() == now.value().to_bits(),
        _ => before.eq(now).unwrap_or(false),
    }
}

/// What a message is serialised from.
fn contents<'py>(message: &Bound<'py, PyAny>) -> PyResult<[Bound<'py, PyAny>; 2]> {
    let py = message.py();
    Ok([
        message.getattr(intern!(py, FIELDS))?,
        message.getattr(intern!(py, EXTRA))?,
    ])
}

/// Copies an item, and notes its parts.
struct Recorder<'a, 'py> {
    messages: &'a Bound<'py, PyFrozenSet>,
    parts: &'a mut Vec<Part>,
    bytes: usize,
}

impl<'py> Recorder<'_, 'py> {
    fn copy(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> Option<Bound<'py, PyAny>> {
        let depth = depth.checked_sub(1)?;
        if is_plain(value) {
            self.bytes += 2 * value.len().unwrap_or(0);
            self.note(Part::Plain(value.clone().unbind()));
            Some(value.clone())
        } else if let Ok(list) = value.cast_exact::<PyList>() {
            self.copy_list(list, depth)
        } else if let Ok(dict) = value.cast_exact::<PyDict>() {
            self.copy_dict(dict, depth)
        } else {
            self.copy_message(value, depth)
        }
    }

    fn note(&mut self, part: Part) {
        self.parts.push(part);
        self.bytes += PART_BYTES;
    }

    fn copy_list(&mut self, list: &Bound<'py, PyList>, depth: usize) -> Option<Bound<'py, PyAny>> {
        let items: Vec<_> = list.iter().collect();
        self.note(Part::List(items.len()));
        let copies = items.iter().map(|item| self.copy(item, depth));
        let copies = copies.collect::<Option<Vec<_>>>()?;
        Some(PyList::new(list.py(), copies).ok()?.into_any())
    }

    fn copy_dict(&mut self, dict: &Bound<'py, PyDict>, depth: usize) -> Option<Bound<'py, PyAny>> {
        // Another thread may change the dict, but not this copy.
        let members = dict.copy().ok()?;
        self.note(Part::Dict(members.len()));
        let copies = PyDict::new(dict.py());
        for (key, value) in members.iter() {
            if !key.is_exact_instance_of::<PyString>() {
                return None;
            }
            copies
                .set_item(self.copy(&key, depth)?, self.copy(&value, depth)?)
                .ok()?;
        }
        Some(copies.into_any())
    }

    fn copy_message(
        &mut self,
        value: &Bound<'py, PyAny>,
        depth: usize,
    ) -> Option<Bound<'py, PyAny>> {
        let class = value.get_type();
        if !self.messages.contains(&class).ok()? {
            return None;
        }
        self.note(Part::Message(class.clone().unbind()));
        let [fields, extra] = contents(value).ok()?;
        let (fields, extra) = (self.copy(&fields, depth)?, self.copy(&extra, depth)?);
        message(&class, fields, extra).ok()
    }
}

fn is_plain(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyString>()
        || value.is_none()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_exact_instance_of::<PyBytes>()
}

/// Makes a message as pydantic does, without validation.
fn message<'py>(
    class: &Bound<'py, PyType>,
    fields: Bound<'py, PyAny>,
    extra: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let message = class.call_method1(intern!(py, "__new__"), (class,))?;
    let object = py.get_type::<PyAny>();
    let set = object.getattr(intern!(py, "__setattr__"))?;
    set.call1((&message, intern!(py, FIELDS), fields))?;
    set.call1((&message, intern!(py, EXTRA), extra))?;
    set.call1((
        &message,
        intern!(py, "__pydantic_fields_set__"),
        PySet::empty(py)?,
    ))?;
    set.call1((&message, intern!(py, "__pydantic_private__"), py.None()))?;
    Ok(message)
}
