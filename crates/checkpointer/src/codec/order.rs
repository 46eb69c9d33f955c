//! The order of an object's keys.
//!
//! `serde_json` keeps it if a crate in the program switched on `preserve_order`; JSONB never does. So
//! an object whose keys aren't sorted by their bytes is stored with its order: a small one with the
//! place of each key among the sorted ones, as a text, and a large one with a list of the keys, which
//! is cut into chunks as other lists are.

use std::sync::LazyLock;

use serde_json::{Map, Value};

/// Whether `serde_json` was built with `preserve_order`. Any crate in the program may switch it on,
/// so it is looked up when the program runs.
static PRESERVE_ORDER: LazyLock<bool> = LazyLock::new(|| {
    let members = ["b", "a"].map(|key| (key.to_owned(), Value::Null));
    Map::from_iter(members).keys().is_sorted_by(|a, b| a > b)
});

/// Whether this program keeps the order of an object's keys.
pub(crate) fn is_kept() -> bool {
    *PRESERVE_ORDER
}

/// Whether an object's keys are in the order that needs no word.
pub(crate) fn is_sorted(object: &Map<String, Value>) -> bool {
    !is_kept() || object.keys().is_sorted()
}

/// The place of each key among the sorted ones, unless they are sorted.
pub(super) fn places(object: &Map<String, Value>) -> Option<String> {
    if is_sorted(object) {
        return None;
    }
    let keys: Vec<_> = object.keys().collect();
    let mut sorted: Vec<_> = (0..keys.len()).collect();
    sorted.sort_unstable_by_key(|index| keys[*index]);
    let mut places = vec![String::new(); keys.len()];
    for (place, index) in sorted.into_iter().enumerate() {
        places[index] = place.to_string();
    }
    Some(places.join(" "))
}

/// The keys as a list, unless they are sorted.
pub(crate) fn keys(object: &Map<String, Value>) -> Option<Value> {
    (!is_sorted(object)).then(|| object.keys().map(String::as_str).collect())
}

/// Puts sorted members at their places; none if these aren't the places of so many members.
pub(super) fn in_places<T>(sorted: Vec<T>, places: &str) -> Option<Vec<T>> {
    let mut sorted: Vec<_> = sorted.into_iter().map(Some).collect();
    let places = places.split(' ').map(|place| {
        let place: usize = place.parse().ok()?;
        sorted.get_mut(place)?.take()
    });
    let members: Option<Vec<_>> = places.collect();
    members.filter(|_| sorted.iter().all(Option::is_none))
}

/// Gives an object that was read the order that the places say, or else that of the sorted keys.
/// Fails if they aren't the places of its keys.
pub(super) fn restore_places(
    object: &mut Map<String, Value>,
    places: Option<&Value>,
) -> Option<()> {
    sort(object);
    if let Some(places) = places {
        let sorted = std::mem::take(object).into_iter().collect();
        object.extend(in_places(sorted, places.as_str()?)?);
    }
    Some(())
}

/// Gives an object that was read the order of these keys, or else that of the sorted ones. Fails if
/// they aren't its keys.
pub(crate) fn restore_keys(object: &mut Map<String, Value>, keys: Option<Value>) -> Option<()> {
    let Some(keys) = keys else {
        sort(object);
        return Some(());
    };
    let Value::Array(keys) = keys else {
        return None;
    };
    let mut members = std::mem::take(object);
    for key in keys {
        let (key, value) = members.remove_entry(key.as_str()?)?;
        object.insert(key, value);
    }
    members.is_empty().then_some(())
}

/// Sorts an object's keys, if this program keeps another order.
pub(crate) fn sort(object: &mut Map<String, Value>) {
    if !is_sorted(object) {
        object.sort_keys();
    }
}
