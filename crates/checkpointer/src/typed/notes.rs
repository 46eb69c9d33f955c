//! What a serializer notes of a state: of which kinds its parts are, and in which order its items are.
//!
//! A place is where a value lies in its type: an item of an array has one place, whichever it is, and so
//! has a value of a map. Places and kinds are kept as hashes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};

use serde_json::Value;

/// A hasher of hashes.
#[derive(Debug, Clone, Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes
            .iter()
            .fold(self.0, |hash, byte| mix(hash, u64::from(*byte)));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Hashes, which need no hashing.
pub(super) type Hashes = HashSet<u64, BuildHasherDefault<AsIs>>;

/// What is known of a type: what was noted of states of it that could be read back.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    /// The kinds that were seen, each with its place.
    pub(super) kinds: Hashes,
    /// The places of arrays whose items have no order, such as those of a `HashSet`.
    pub(super) unordered: Hashes,
}

/// Where in its type a value lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u64);

/// Of which kind a value is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Null,
    Bool,
    Int,
    Float,
    Text,
    Bytes,
    Some,
    /// A `Some` that is null in JSON, as `None` is.
    SomeNull,
    Fields,
    Entries,
    Tuple,
}

impl Place {
    /// That of the whole state.
    pub(super) const TOP: Self = Self(0);

    /// That of a field, or of what a variant holds.
    pub(super) fn named(self, name: &str) -> Self {
        let bytes = name.as_bytes().chunks(8);
        let hash = bytes.fold(mix(self.0, name.len() as u64), |hash, bytes| {
            let word = bytes
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte));
            mix(hash, word)
        });
        Self(hash)
    }

    /// That of the items of an array.
    pub(super) fn items(self) -> Self {
        Self(mix(self.0, 1))
    }

    /// That of an item of a tuple, by its place in the items'.
    pub(super) fn nth(self, index: usize) -> Self {
        Self(mix(self.0, 128 + index as u64))
    }

    /// That of the values of a map whose keys are like this one.
    pub(super) fn entries(self, key: &str) -> Self {
        Self(mix(self.0, 2 + kind_of_key(key)))
    }
}

/// What a key's text may stand for: whether it can be read back depends on that.
fn kind_of_key(key: &str) -> u64 {
    match key {
        "true" | "false" => 1,
        _ if key.parse::<i128>().is_ok() => 2,
        _ if key.parse::<f64>().is_ok() => 3,
        _ => 0,
    }
}

fn mix(hash: u64, with: u64) -> u64 {
    let mixed = (hash.rotate_left(5) ^ with).wrapping_mul(0x517c_c1b7_2722_0a95);
    mixed ^ (mixed >> 32)
}

/// The order of the items at a place, of all arrays there together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// The same for the same items, whatever their order.
    items: u64,
    /// The same for the same items in the same order.
    sequence: u64,
}

/// What is noted of one state.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    known: &'a Known,
    /// The kinds that weren't known, each with its place.
    fresh: RefCell<Hashes>,
    some_nulls: Cell<usize>,
    /// How often there was each field.
    fields: RefCell<HashMap<u64, usize>>,
    /// Whether a `Some` that is null is refused.
    refuses_some_null: bool,
    /// The order of items, if it is noted.
    orders: Option<RefCell<HashMap<u64, Order>>>,
    /// Whether the outermost value says that it is a struct.
    pub(super) is_struct: Cell<bool>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(known: &'a Known) -> Self {
        Self {
            known,
            fresh: RefCell::default(),
            some_nulls: Cell::new(0),
            fields: RefCell::default(),
            refuses_some_null: false,
            orders: None,
            is_struct: Cell::new(false),
        }
    }

    /// Notes the order of items, too.
    pub(super) fn with_orders(known: &'a Known) -> Self {
        Self {
            orders: Some(RefCell::default()),
            ..Self::new(known)
        }
    }

    /// Refuses a `Some` that is null, so that its path is known.
    pub(super) fn refusing_some_null(known: &'a Known) -> Self {
        Self {
            refuses_some_null: true,
            ..Self::new(known)
        }
    }

    /// Notes the kind of a value.
    pub(super) fn saw(&self, place: Place, kind: Kind) {
        self.note(mix(place.0, kind as u64));
    }

    /// Notes a field, while the order of items is noted.
    pub(super) fn saw_field(&self, place: Place) {
        if self.orders.is_some() {
            *self.fields.borrow_mut().entry(place.0).or_default() += 1;
        }
    }

    /// Whether there were the same fields in the other state, each as often.
    pub(super) fn has_fields_of(&self, other: &Self) -> bool {
        self.fields == other.fields
    }

    /// Notes that `Some` is null in JSON; returns whether that is refused.
    pub(super) fn saw_some_null(&self, place: Place) -> bool {
        self.saw(place, Kind::SomeNull);
        self.some_nulls.set(self.some_nulls.get() + 1);
        self.refuses_some_null
    }

    /// Notes the items of an array, and sorts those that have no order.
    pub(super) fn saw_items(&self, place: Place, items: &mut [Value]) {
        // Once for each doubling: the order of a few items may be the same by chance.
        self.note(mix(
            place.0,
            64 + u64::from(items.len().checked_ilog2().map_or(0, |log| log + 1)),
        ));
        if let Some(orders) = &self.orders {
            let order = orders.borrow_mut();
            add_order(order, place, items);
        }
        if self.known.unordered.contains(&place.0) {
            items.sort_by_cached_key(Value::to_string);
        }
    }

    fn note(&self, kind: u64) {
        if !self.known.kinds.contains(&kind) {
            self.fresh.borrow_mut().insert(kind);
        }
    }

    /// How often a `Some` was null.
    pub(super) fn some_nulls(&self) -> usize {
        self.some_nulls.get()
    }

    /// The kinds that weren't known.
    pub(super) fn into_fresh(self) -> Hashes {
        self.fresh.into_inner()
    }

    /// The places whose items are those of the `other` state, in another order.
    pub(super) fn reordered(&self, other: &Self) -> Hashes {
        let (Some(mine), Some(other)) = (&self.orders, &other.orders) else {
            return Hashes::default();
        };
        let (mine, other) = (mine.borrow(), other.borrow());
        let differs = mine.iter().filter(|(place, order)| {
            other
                .get(place)
                .is_some_and(|other| other.items == order.items && other != *order)
        });
        differs.map(|(place, _)| *place).collect()
    }
}

fn add_order(
    mut orders: std::cell::RefMut<'_, HashMap<u64, Order>>,
    place: Place,
    items: &[Value],
) {
    let order = orders.entry(place.0).or_default();
    let sequence = items.iter().fold(0, |hash, item| mix(hash, digest(item)));
    let sum = items.iter().map(digest).fold(0, u64::wrapping_add);
    order.items = order.items.wrapping_add(mix(sum, items.len() as u64));
    order.sequence = order.sequence.wrapping_add(sequence);
}

/// A hash of a value, whatever the order of the items in it.
fn digest(value: &Value) -> u64 {
    match value {
        Value::Array(items) => {
            let sum = items.iter().map(digest).fold(0, u64::wrapping_add);
            mix(sum, 3 + items.len() as u64)
        }
        Value::Object(members) => {
            let digests = members
                .iter()
                .map(|(key, value)| mix(hashed(key), digest(value)));
            mix(digests.fold(0, u64::wrapping_add), 2)
        }
        scalar => hashed(&scalar.to_string()),
    }
}

fn hashed(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
