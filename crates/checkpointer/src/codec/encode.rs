//! Writing a value as JSON that JSONB returns unchanged.

use std::io;
use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Number, Value};

use super::escape;
use super::number::{self, Kind};
use super::order;
use super::refused::{Reason, Refused};

/// How many arrays and objects may lie inside each other: `1` is nested 0 deep,
/// `[]` and `{"a": 1}` 1 deep, `[[]]` 2. `serde_json` reads no more than 127, and
/// a value is read inside the row's own objects.
pub(crate) const MAX_DEPTH: usize = 100;

/// The longest text of a value. JSONB's own limit for the stored value, which is
/// checked too, is one byte less.
pub(crate) const MAX_BYTES: usize = 256 << 20;
const MAX_STORED: usize = MAX_BYTES - 1;

/// The most members the server can collect for one array or object: its buffer
/// of them doubles, and may not reach 1 GiB.
const MAX_ITEMS: usize = 1 << 24;
const MAX_PAIRS: usize = 1 << 23;

/// [`escape::ORDER`] as JSON, for a caller that puts an object together itself.
pub(crate) const ORDER_KEY: &[u8] = br#""\u0001o""#;

/// Appends `value` as JSON text that JSONB gives back unchanged, with the order of its objects' keys.
///
/// # Errors
///
/// [`Refused`] if it is nested deeper than [`MAX_DEPTH`], or takes more than
/// 256 MiB as text or as JSONB. `out` is then as it was.
pub(crate) fn encode(value: &Value, out: &mut Vec<u8>) -> Result<(), Refused> {
    Encoder::run(out, |encoder| {
        encoder.with_order = true;
        encoder.value(value, 0)
    })
}

/// Appends an object, as [`encode`] does, but with its keys sorted.
///
/// # Errors
///
/// As for [`encode`].
pub(crate) fn encode_object(map: &Map<String, Value>, out: &mut Vec<u8>) -> Result<(), Refused> {
    Encoder::run(out, |encoder| encoder.object(map, 0))
}

/// Appends an object's key, for a caller that puts an object together itself.
///
/// # Errors
///
/// [`Refused`] if it takes more than 256 MiB.
pub(crate) fn encode_key(key: &str, out: &mut Vec<u8>) -> Result<(), Refused> {
    Encoder::run(out, |encoder| encoder.key(key))
}

struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// What the value takes as JSONB, or a little more.
    stored: usize,
    with_order: bool,
}

/// What a JSONB value takes besides its members, at most: the length, the
/// header of the array a scalar is wrapped in, and the scalar's entry there.
const STORED_ROOT: usize = 12;
/// What JSONB takes for each member, and for the head of each array or object.
const STORED_ENTRY: usize = 4;

impl<'a> Encoder<'a> {
    fn run(
        out: &'a mut Vec<u8>,
        write: impl FnOnce(&mut Self) -> Result<(), Refused>,
    ) -> Result<(), Refused> {
        let start = out.len();
        let mut encoder = Self {
            out,
            start,
            stored: STORED_ROOT,
            with_order: false,
        };
        let result = write(&mut encoder);
        if result.is_err() {
            encoder.out.truncate(start);
        }
        result
    }

    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Refused> {
        match value {
            Value::Null => self.raw(b"null"),
            Value::Bool(true) => self.raw(b"true"),
            Value::Bool(false) => self.raw(b"false"),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.text(text),
            Value::Array(items) => self.array(items, depth),
            Value::Object(map) => self.object(map, depth),
        }
    }

    fn array(&mut self, items: &[Value], depth: usize) -> Result<(), Refused> {
        self.open(items.len(), MAX_ITEMS, depth)?;
        self.raw(b"[")?;
        for (index, item) in items.iter().enumerate() {
            self.separate(index)
                .and_then(|()| self.value(item, depth + 1))
                .map_err(|refused| refused.in_index(index))?;
        }
        self.raw(b"]")
    }

    fn object(&mut self, map: &Map<String, Value>, depth: usize) -> Result<(), Refused> {
        match order::places(map) {
            None => self.members(None, map.iter(), depth),
            Some(places) if self.with_order => self.members(Some(&places), map.iter(), depth),
            Some(_) => {
                let mut sorted: Vec<_> = map.iter().collect();
                sorted.sort_unstable_by_key(|(key, _)| *key);
                self.members(None, sorted.into_iter(), depth)
            }
        }
    }

    fn members<'m>(
        &mut self,
        places: Option<&str>,
        members: impl ExactSizeIterator<Item = (&'m String, &'m Value)>,
        depth: usize,
    ) -> Result<(), Refused> {
        let first = usize::from(places.is_some());
        self.open(first + members.len(), MAX_PAIRS, depth)?;
        self.raw(b"{")?;
        if let Some(places) = places {
            self.order(places)?;
        }
        for (index, (key, value)) in members.enumerate() {
            self.separate(first + index)
                .and_then(|()| self.key(key))
                .and_then(|()| self.reserve(STORED_ENTRY))
                .and_then(|()| self.raw(b":"))
                .and_then(|()| self.value(value, depth + 1))
                .map_err(|refused| refused.in_key(key))?;
        }
        self.raw(b"}")
    }

    /// Writes the first member of an object whose keys aren't sorted.
    fn order(&mut self, places: &str) -> Result<(), Refused> {
        self.reserve(2 * STORED_ENTRY + escape::ORDER.len())?;
        self.raw(ORDER_KEY)?;
        self.raw(b":")?;
        self.string(places)
    }

    fn open(&mut self, len: usize, limit: usize, depth: usize) -> Result<(), Refused> {
        if depth >= MAX_DEPTH {
            return Err(Refused::new(Reason::TooDeep { limit: MAX_DEPTH }));
        }
        if len > limit {
            return Err(Refused::new(Reason::TooManyMembers { len, limit }));
        }
        self.reserve(STORED_ENTRY)
    }

    /// Begins the member at `index`.
    fn separate(&mut self, index: usize) -> Result<(), Refused> {
        self.reserve(STORED_ENTRY)?;
        if index > 0 { self.raw(b",") } else { Ok(()) }
    }

    fn key(&mut self, key: &str) -> Result<(), Refused> {
        if escape::key_needs_escape(key) {
            self.string(&escape::escape_text(key))
        } else {
            self.string(key)
        }
    }

    fn text(&mut self, text: &str) -> Result<(), Refused> {
        if escape::text_needs_escape(text) {
            self.string(&escape::escape_text(text))
        } else {
            self.string(text)
        }
    }

    fn string(&mut self, text: &str) -> Result<(), Refused> {
        self.reserve(text.len())?;
        self.json(text)
    }

    fn number(&mut self, number: &Number) -> Result<(), Refused> {
        let start = self.out.len();
        match number::kind(number) {
            Kind::Unsigned(unsigned) => self.json(&unsigned)?,
            Kind::Negative(negative) => self.json(&negative)?,
            Kind::Float(float) if float == 0.0 && float.is_sign_negative() => {
                return self.string(&escape::escape_number("-0.0"));
            }
            Kind::Float(float) => {
                self.json(&float)?;
                if self.out[start..].contains(&b'e') {
                    self.out.truncate(start);
                    self.raw(number::positional(float).as_bytes())?;
                }
            }
            Kind::Text(text) if number::is_plain(&text) => self.raw(text.as_bytes())?,
            Kind::Text(text) if number::is_parsed(&text) => {
                return self.string(&escape::escape_number(&text));
            }
            Kind::Text(_) => return Err(Refused::new(Reason::Number)),
        }
        self.reserve(stored_number(&self.out[start..]))
    }

    fn json<T: Serialize + ?Sized>(&mut self, scalar: &T) -> Result<(), Refused> {
        // A scalar always serialises, so only this writer's limit can fail.
        serde_json::to_writer(self, scalar).map_err(|_| too_large())
    }

    fn raw(&mut self, text: &[u8]) -> Result<(), Refused> {
        self.write_all(text).map_err(|_| too_large())
    }

    /// Counts what a member takes as JSONB. Numbers and containers are aligned
    /// to four bytes; counting everything as if it were is never too little.
    fn reserve(&mut self, bytes: usize) -> Result<(), Refused> {
        self.stored += bytes.next_multiple_of(4);
        if self.stored > MAX_STORED {
            return Err(too_large());
        }
        Ok(())
    }
}

impl Write for Encoder<'_> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        if self.out.len() - self.start + text.len() > MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.out.extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn too_large() -> Refused {
    Refused::new(Reason::TooLarge { limit: MAX_BYTES })
}

/// What the number with this text takes as a `numeric`, at most: a
/// header, and two bytes for each four digits before and after the point.
fn stored_number(text: &[u8]) -> usize {
    let header = if text.len() > 60 { 8 } else { 6 };
    let groups = text.len().div_ceil(4) + usize::from(text.contains(&b'.'));
    header + 2 * groups
}

/// How many bytes a value takes as JSONB within another, at most, as [`encode`] counts them.
#[cfg(test)]
pub(crate) fn most_jsonb_bytes(value: &Value) -> usize {
    let mut out = Vec::new();
    let mut encoder = Encoder {
        out: &mut out,
        start: 0,
        stored: STORED_ENTRY,
        with_order: true,
    };
    encoder.value(value, 0).map_or(0, |()| encoder.stored)
}
