//! Whether an item is what it was.
//!
//! A put asks it of all items of a conversation, and most of its time goes to fetching them from memory. So it
//! doesn't count references to what only has to be the same object as before.

use std::{ptr, slice};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyList};
use pyo3::{Borrowed, ffi, intern};

use super::{EXTRA, Part};

/// Whether a value has the next parts.
pub(super) fn is_of(parts: &mut slice::Iter<'_, Part>, value: &Bound<'_, PyAny>) -> bool {
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
    if len == 0 {
        return true;
    }
    let (mut position, mut key, mut value) = (0, ptr::null_mut(), ptr::null_mut());
    // SAFETY: Python's lock is held, `dict` is a dict, and the others are variables of this function.
    while unsafe { ffi::PyDict_Next(dict.as_ptr(), &mut position, &mut key, &mut value) } != 0 {
        // SAFETY: These are objects, which the dict holds until some code of Python's changes it. None runs
        // before the last use of either: a key is compared as a text, and a value is compared as something
        // plain, or gets a reference of its own.
        let member = unsafe {
            [
                Borrowed::from_ptr(dict.py(), key),
                Borrowed::from_ptr(dict.py(), value),
            ]
        };
        if !member.into_iter().all(|value| is_of_borrowed(parts, value)) {
            return false;
        }
    }
    true
}

/// As [`is_of`], of a value that only its dict holds.
fn is_of_borrowed(parts: &mut slice::Iter<'_, Part>, value: Borrowed<'_, '_, PyAny>) -> bool {
    match parts.as_slice().first() {
        Some(Part::Plain(plain)) if plain.as_ptr() == value.as_ptr() => parts.next().is_some(),
        _ => is_of(parts, &value.to_owned()),
    }
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
///
/// They are read as `object` reads them: pydantic's own way asks the class for methods of its own first, each
/// time.
pub(super) fn contents<'py>(message: &Bound<'py, PyAny>) -> PyResult<[Bound<'py, PyAny>; 2]> {
    let py = message.py();
    let extra = intern!(py, EXTRA).as_ptr();
    // SAFETY: Python's lock is held, and both are objects. Each answer is a reference of its own, or null with
    // an exception set.
    unsafe {
        let fields = ffi::PyObject_GenericGetDict(message.as_ptr(), ptr::null_mut());
        let fields = Bound::from_owned_ptr_or_err(py, fields)?;
        let extra = ffi::PyObject_GenericGetAttr(message.as_ptr(), extra);
        Ok([fields, Bound::from_owned_ptr_or_err(py, extra)?])
    }
}
