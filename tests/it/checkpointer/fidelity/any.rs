//! Arbitrary JSON, with what is easily changed on the way, and names at their limits.

use checkpointer::Version;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Map, Number, Value};

/// A number of cases, unless `PROPTEST_CASES` says another.
pub(in crate::checkpointer) fn cases(usual: u32) -> Config {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => Config::default(),
        None => Config::with_cases(usual),
    }
}

/// Whether two values are the same to the bits of every float and the order of every object's keys.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => {
            // The text tells an integer from a float; a float's bits are compared as such.
            left.to_string() == right.to_string()
                && left.as_f64().map(f64::to_bits) == right.as_f64().map(f64::to_bits)
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.keys().eq(right.keys())
                && (left.values().zip(right.values())).all(|(left, right)| same(left, right))
        }
        _ => left == right,
    }
}

/// The same, but for the order of keys, which metadata hasn't.
pub(super) fn same_object(left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    let [left, right] = [left, right].map(|object| {
        let mut object = Value::Object(object.clone());
        object.sort_all_objects();
        object
    });
    same(&left, &right)
}

pub(super) fn float() -> impl Strategy<Value = f64> {
    let from_bits = any::<u64>()
        .prop_map(f64::from_bits)
        .prop_filter("JSON has finite numbers only", |float| float.is_finite());
    let near_the_integers = (any::<i64>(), 0..70_i32)
        .prop_map(|(digits, shift)| digits as f64 * 2_f64.powi(shift - 35));
    prop_oneof![
        from_bits,
        near_the_integers,
        (-323..309_i32).prop_map(|exponent| format!("1e{exponent}").parse().unwrap()),
        Just(-0.0),
        Just(f64::MAX),
        Just(f64::MIN),
        Just(f64::MIN_POSITIVE),
    ]
}

/// Numbers as a program makes them, and as a parser does: under `arbitrary_precision` those are
/// others.
fn number() -> impl Strategy<Value = Number> {
    let text = "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,40})?([eE][+-]?[0-9]{1,2})?";
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(9_007_199_254_740_993)]
            .prop_map(Number::from),
        Just(Number::from(u64::MAX)),
        float().prop_map(|float| Number::from_f64(float).unwrap()),
        text.prop_map(|text| text.parse().unwrap()),
    ]
}

pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[\u{0}\u{1}01sn-]{0,8}",
        "[\\\\\"'%u0\u{0}-\u{20}\u{7f}\u{D7FF}\u{E000}\u{FFFE}\u{FFFF}\u{10000}-\u{10ffff}]{0,12}",
    ]
}

/// Keys, `serde_json`'s own among them.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => text(),
        1 => Just("$serde_json::private::Number".to_owned()),
        1 => Just("$serde_json::private::RawValue".to_owned()),
    ]
}

pub(in crate::checkpointer) fn value() -> impl Strategy<Value = Value> {
    value_of(key().boxed(), number().boxed())
}

/// Values that are cut into pieces: long arrays and objects, some inside of others.
pub(super) fn large_value() -> impl Strategy<Value = Value> {
    let array = |of: BoxedStrategy<Value>, len| vec(of, 1..len).prop_map(Value::Array).boxed();
    let object = |of: BoxedStrategy<Value>, len| {
        let fields = vec((key(), of), 1..len);
        fields
            .prop_map(|fields| fields.into_iter().collect())
            .boxed()
    };
    let small = scalar(number().boxed()).boxed();
    let inner = prop_oneof![array(small.clone(), 200), object(small.clone(), 200)].boxed();
    let member = prop_oneof![20 => small.clone(), 1 => inner].boxed();
    prop_oneof![
        array(small.clone(), 800),
        object(small, 800),
        array(member.clone(), 60),
        object(member, 60),
    ]
}

/// Changes in the places where agents make them: at the end, at the start, and anywhere.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    Append(Value),
    DropFirst(usize),
    Replace(prop::sample::Index, Value),
    Remove(prop::sample::Index),
}

pub(super) fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        3 => value().prop_map(Edit::Append),
        1 => (1..40_usize).prop_map(Edit::DropFirst),
        1 => (any::<prop::sample::Index>(), value()).prop_map(|(at, new)| Edit::Replace(at, new)),
        1 => any::<prop::sample::Index>().prop_map(Edit::Remove),
    ]
}

impl Edit {
    pub(super) fn apply(&self, value: &mut Value) {
        match value {
            Value::Array(items) => match self {
                Self::Append(new) => items.push(new.clone()),
                Self::DropFirst(count) => drop(items.drain(..(*count).min(items.len()))),
                Self::Replace(at, new) if !items.is_empty() => {
                    let at = at.index(items.len());
                    items[at] = new.clone();
                }
                Self::Remove(at) if !items.is_empty() => drop(items.remove(at.index(items.len()))),
                Self::Replace(..) | Self::Remove(_) => {}
            },
            Value::Object(fields) => {
                let keys: Vec<String> = fields.keys().cloned().collect();
                match self {
                    Self::Append(new) => {
                        fields.insert(format!("new {}", keys.len()), new.clone());
                    }
                    Self::DropFirst(count) => keys.iter().take(*count).for_each(|key| {
                        fields.remove(key);
                    }),
                    Self::Replace(at, new) if !keys.is_empty() => {
                        fields[&keys[at.index(keys.len())]] = new.clone();
                    }
                    Self::Remove(at) if !keys.is_empty() => {
                        fields.remove(&keys[at.index(keys.len())]);
                    }
                    Self::Replace(..) | Self::Remove(_) => {}
                }
            }
            _ => {}
        }
    }
}

/// Takes out what SQL sees in another form.
pub(super) fn make_plain(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) => {}
        Value::Number(number) => {
            // Under `arbitrary_precision` a number is its text, which may be `-0`.
            *number = match (number.as_u64(), number.as_i64()) {
                (Some(unsigned), _) => unsigned.into(),
                (None, Some(negative)) => negative.into(),
                _ => Number::from_f64(number.as_f64().unwrap() + 0.0).unwrap(),
            };
        }
        Value::String(text) => *text = plain(text),
        Value::Array(items) => items.iter_mut().for_each(make_plain),
        Value::Object(fields) => {
            let members = std::mem::take(fields).into_iter();
            fields.extend(members.map(|(key, mut value)| {
                make_plain(&mut value);
                (plain(&key), value)
            }));
        }
    }
}

fn plain(text: &str) -> String {
    text.replace(['\0', '\u{1}'], "?").replace('$', "?")
}

/// Values that `serde_json` keeps when a program's `Value` is deserialized: it has keys of its own,
/// and under `arbitrary_precision` takes the number `-0` for 0.
pub(super) fn plain_value() -> impl Strategy<Value = Value> {
    let kept = |number: &Number| number.to_string() != "-0";
    value_of(text().boxed(), number().prop_filter("-0", kept).boxed())
}

fn scalar(number: BoxedStrategy<Number>) -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => Just(Value::Null),
        5 => any::<bool>().prop_map(Value::Bool),
        10 => number.prop_map(Value::Number),
        10 => text().prop_map(Value::String),
        // Too long to lie in the checkpoint's own row.
        1 => (text(), 300..900_usize)
            .prop_map(|(text, times)| Value::from(format!("{text}-").repeat(times))),
    ]
}

fn value_of(
    key: BoxedStrategy<String>,
    number: BoxedStrategy<Number>,
) -> impl Strategy<Value = Value> {
    scalar(number).prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((key.clone(), inner), 0..6).prop_map(|fields| fields.into_iter().collect()),
        ]
    })
}

pub(super) fn object() -> impl Strategy<Value = Map<String, Value>> {
    vec((key(), value()), 0..4).prop_map(|fields| fields.into_iter().collect())
}

pub(super) fn version() -> impl Strategy<Value = Version> {
    prop_oneof![
        any::<i64>().prop_map(Version::Int),
        float().prop_map(Version::Float),
        text().prop_map(Version::Text),
    ]
}

/// Names of `min` to `max` bytes, many of them of exactly `max`.
pub(super) fn name(min: usize, max: usize) -> impl Strategy<Value = String> {
    let longest = "[a'\"\\\\%\u{1}é\u{FFFF}\u{1F600}]{1,8}".prop_map(move |text| {
        let mut name: String = text.chars().cycle().take(max).collect();
        let end = (0..=max).rev().find(|end| name.is_char_boundary(*end));
        name.truncate(end.unwrap_or(0));
        name.extend(std::iter::repeat_n('~', max - name.len()));
        name
    });
    let short = text().prop_map(|text| text.replace('\0', ""));
    let any = prop_oneof![3 => short, 1 => longest];
    any.prop_filter("not a name", move |name| (min..=max).contains(&name.len()))
}

pub(super) fn by_name<T: std::fmt::Debug>(
    of: impl Strategy<Value = T>,
) -> impl Strategy<Value = std::collections::BTreeMap<String, T>> {
    btree_map(name(0, 256), of, 0..4)
}
