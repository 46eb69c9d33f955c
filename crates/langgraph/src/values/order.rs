//! The order of an object's keys. JSONB doesn't keep it, and `serde_json::Map` only where a program is
//! built so, so an object whose keys aren't sorted has it as a text: for each key in turn, its place among the sorted keys.

use super::form::Malformed;

/// How the keys of an object are ordered.
#[derive(Debug, PartialEq)]
pub(super) enum Order {
    /// By their bytes.
    Sorted,
    /// As this text says.
    Other(String),
}

/// Finds out how keys are ordered; `None` if one comes twice.
pub(super) fn order_of(keys: &[&str]) -> Option<Order> {
    if keys.is_sorted_by(|one, other| one < other) {
        return Some(Order::Sorted);
    }
    let mut sorted: Vec<usize> = (0..keys.len()).collect();
    sorted.sort_unstable_by_key(|index| keys[*index]);
    if sorted.windows(2).any(|pair| keys[pair[0]] == keys[pair[1]]) {
        return None;
    }
    let mut places = vec![0; keys.len()];
    for (place, index) in sorted.into_iter().enumerate() {
        places[index] = place;
    }
    let places: Vec<_> = places.iter().map(usize::to_string).collect();
    Some(Order::Other(places.join(" ")))
}

/// Puts sorted members into the order that a text gives.
pub(super) fn reorder<T: Copy>(sorted: &[T], order: &str) -> Result<Vec<T>, Malformed> {
    let mut is_taken = vec![false; sorted.len()];
    let mut members = Vec::with_capacity(sorted.len());
    for place in order.split(' ') {
        let place: usize = place.parse().map_err(|_| Malformed::Order)?;
        let taken = is_taken.get_mut(place).ok_or(Malformed::Order)?;
        if std::mem::replace(taken, true) {
            return Err(Malformed::Order);
        }
        members.push(sorted[place]);
    }
    if members.len() < sorted.len() {
        return Err(Malformed::Order);
    }
    Ok(members)
}
