//! A typed state as JSON that the same type can read back.
//!
//! To read back each state that is saved would cost as much again. So it is done only for a state that
//! has something new: a kind of value, or a set of a struct's fields, at a place where this process hasn't
//! seen it in states of this type. What was read back once isn't again.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::lists::{self, Grown, Growth, Lists};
use super::notes::{Hashes, Known, Notes};
use super::shape;
use super::stored_state::StoredState;
use super::to_value::{Top, to_value};
use crate::codec::{Path, Reason, Refused};

/// What is known of each type, in this process.
static TYPES: Mutex<BTreeMap<TypeId, Arc<Known>>> = Mutex::new(BTreeMap::new());

/// Converts a state, and makes sure that it can be read back. Of the lists that were saved and only
/// grew, the items that were saved are left out. Says what became of each list.
///
/// # Errors
///
/// As [`to_value`]; also if the type can't read the JSON, or reads from it a state that has other fields,
/// or a `None` for a `Some`.
pub(super) fn checked<State>(state: &State, saved: &Lists) -> Result<(Top, Grown), Refused>
where
    State: Serialize + DeserializeOwned + 'static,
{
    let known = known(TypeId::of::<State>());
    let notes = Notes::new(&known);
    let growth = Growth::since(saved);
    let top = to_value(state, &notes, Some(&growth))?;
    let (found, fresh) = (growth.into_found(), notes.into_fresh());
    if let Some(saved) = lists::again(saved, &found, !fresh.is_empty()) {
        return checked(state, &saved);
    }
    if !fresh.is_empty() {
        read_back(state, top.clone(), &known)?;
        learn(TypeId::of::<State>(), fresh);
    }
    Ok((top, found))
}

/// Reads a state back from JSON, and makes sure that it has the fields and the `Some`s that it had.
fn read_back<State>(state: &State, top: Top, known: &Known) -> Result<(), Refused>
where
    State: Serialize + DeserializeOwned,
{
    let before = Notes::counting_fields(known);
    to_value(state, &before, None)?;
    let stored = StoredState::from(top);
    let read: State = shape::decode(&stored).map_err(|(path, reason)| Refused {
        path,
        reason: Reason::Unreadable { reason },
    })?;
    let after = Notes::counting_fields(known);
    let again = StoredState::from(to_value(&read, &after, None)?);
    if !after.has_fields_of(&before) {
        let path = lost_field(&stored.into(), &again.into()).unwrap_or_default();
        let reason = Reason::FieldLost;
        return Err(Refused { path, reason });
    }
    if after.some_nulls() < before.some_nulls() {
        to_value(state, &Notes::refusing_some_null(known), None)?;
    }
    Ok(())
}

/// Finds the first field that is missing, as far as it can be told by its place in the JSON.
fn lost_field(before: &Value, after: &Value) -> Option<Path> {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().find_map(|(key, before)| {
            let lost = match after.get(key) {
                Some(after) => lost_field(before, after),
                None => Some(Path::default()),
            };
            lost.map(|mut path| {
                path.push_key(key);
                path
            })
        }),
        (Value::Array(before), Value::Array(after)) => {
            let mut pairs = before.iter().zip(after).enumerate();
            pairs.find_map(|(index, (before, after))| {
                lost_field(before, after).map(|mut path| {
                    path.push_index(index);
                    path
                })
            })
        }
        _ => None,
    }
}

fn known(of_type: TypeId) -> Arc<Known> {
    let mut types = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(types.entry(of_type).or_default())
}

/// Adds what one state has shown.
fn learn(of_type: TypeId, fresh: Hashes) {
    let mut types = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::make_mut(types.entry(of_type).or_default()).learn(fresh);
}
