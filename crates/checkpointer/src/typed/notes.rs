//! What a serializer notes of a state: of which kinds its parts are.
//!
//! A place is where a value lies in its type: an item of an array has one place, whichever it is, and so
//! has a value of a map. Places and kinds are kept as hashes.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// How many kinds and places are remembered of a type. A map that is flattened into a struct has as many
/// as it has keys; what comes after these isn't read back.
const MAX_KINDS: usize = 10_000;

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

/// What is known of a type: the kinds that were seen in states of it that could be read back, each with
/// its place.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    kinds: Hashes,
}

impl Known {
    /// How many more kinds are remembered.
    fn room(&self) -> usize {
        MAX_KINDS.saturating_sub(self.kinds.len())
    }

    /// Adds what one state has shown, as far as there is room.
    pub(super) fn learn(&mut self, fresh: Hashes) {
        let room = self.room();
        self.kinds.extend(fresh.into_iter().take(room));
    }
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
    Items,
    NoItems,
    Tuple,
}

/// Which fields of a struct are there: a hash of their places, in their order.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Present(u64);

impl Present {
    /// These and one more.
    pub(super) fn and(self, field: Place) -> Self {
        Self(mix(self.0, field.0))
    }
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

/// What is noted of one state.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    known: &'a Known,
    /// The kinds that weren't known, each with its place.
    fresh: RefCell<Hashes>,
    some_nulls: Cell<usize>,
    /// How often there was each field, if that is counted.
    fields: Option<RefCell<HashMap<u64, usize>>>,
    /// Whether a `Some` that is null is refused.
    refuses_some_null: bool,
    /// Whether the outermost value says that it is a struct.
    pub(super) is_struct: Cell<bool>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(known: &'a Known) -> Self {
        Self {
            known,
            fresh: RefCell::default(),
            some_nulls: Cell::new(0),
            fields: None,
            refuses_some_null: false,
            is_struct: Cell::new(false),
        }
    }

    /// Counts the fields, too.
    pub(super) fn counting_fields(known: &'a Known) -> Self {
        Self {
            fields: Some(RefCell::default()),
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

    /// Counts a field, if fields are counted.
    pub(super) fn saw_field(&self, place: Place) {
        if let Some(fields) = &self.fields {
            *fields.borrow_mut().entry(place.0).or_default() += 1;
        }
    }

    /// Notes which fields of a struct are there, as [`Present`] has them.
    pub(super) fn saw_fields(&self, place: Place, present: Present) {
        self.note(mix(mix(place.0, Kind::Fields as u64), present.0));
    }

    /// Notes of how many items a tuple is.
    pub(super) fn saw_tuple(&self, place: Place, len: usize) {
        self.note(mix(mix(place.0, Kind::Tuple as u64), len as u64));
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

    fn note(&self, kind: u64) {
        if self.known.kinds.contains(&kind) {
            return;
        }
        let mut fresh = self.fresh.borrow_mut();
        if fresh.len() < self.known.room() {
            fresh.insert(kind);
        }
    }

    /// How often a `Some` was null.
    pub(super) fn some_nulls(&self) -> usize {
        self.some_nulls.get()
    }

    /// The kinds that weren't known, as many as there is room for.
    pub(super) fn into_fresh(self) -> Hashes {
        self.fresh.into_inner()
    }
}
