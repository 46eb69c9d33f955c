//! Copies of items, of which the parts are noted.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyType,
};

use super::same::contents;
use super::{EXTRA, FIELDS, Part};

/// How many lists, dicts and messages may lie inside each other.
const MAX_DEPTH: usize = 64;

/// About how much memory a part takes, with what its form as JSON takes.
const PART_BYTES: usize = 96;

/// Copies an item, and adds its parts to others. Returns the copy, and about how much memory the parts take.
/// Returns none if one of them is of a class that isn't known.
pub(super) fn copy<'py>(
    item: &Bound<'py, PyAny>,
    messages: &Bound<'py, PyFrozenSet>,
    parts: &mut Vec<Part>,
) -> Option<(Bound<'py, PyAny>, usize)> {
    let mut recorder = Recorder {
        messages,
        parts,
        bytes: 0,
    };
    let copy = recorder.copy(item, MAX_DEPTH)?;
    Some((copy, recorder.bytes))
}

struct Recorder<'a, 'py> {
    messages: &'a Bound<'py, PyFrozenSet>,
    parts: &'a mut Vec<Part>,
    bytes: usize,
}

impl<'py> Recorder<'_, 'py> {
    fn copy(&mut self, value: &Bound<'py, PyAny>, depth: usize) -> Option<Bound<'py, PyAny>> {
        let depth = depth.checked_sub(1)?;
        if is_plain(value) {
            self.bytes += contents_bytes(value);
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

/// About how much memory the contents of a text or of bytes take, with those of its form as JSON.
///
/// Python makes the UTF-8 of a text that isn't ASCII once, and keeps it beside the text. The serialiser asks
/// for it next, so that it costs nothing to ask here.
fn contents_bytes(value: &Bound<'_, PyAny>) -> usize {
    let len = value.len().unwrap_or(0);
    let utf8 = value.cast_exact::<PyString>().map(|text| text.to_str());
    match utf8 {
        Ok(Ok(utf8)) if utf8.len() > len => bytes_in_python(value).unwrap_or(0) + utf8.len(),
        _ => 2 * len,
    }
}

fn bytes_in_python(value: &Bound<'_, PyAny>) -> PyResult<usize> {
    value
        .call_method0(intern!(value.py(), "__sizeof__"))?
        .extract()
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
