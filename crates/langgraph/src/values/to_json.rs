//! From MessagePack to JSON. What isn't exactly as `ormsgpack` writes it is `None`.

use serde_json::{Map, Number, Value};

use super::bytes;
use super::form::{
    MAX_DEPTH, ORDER, PYDANTIC_2_METHOD, TAG, VALUE, code, is_reserved, is_word, tag,
};
use super::msgpack::{Reader, Token};
use super::order::{Order, order_of};

/// How much memory a value may take, in bytes. Few bytes can stand for much JSON: a list of nulls takes
/// 32 times its length, and one of empty byte strings 300 times. A value that a graph works with is far
/// from it.
const MAX_MEMORY: usize = 1 << 30;

/// Reads the one value that `msgpack` is.
pub(super) fn to_json(msgpack: &[u8]) -> Option<Value> {
    let mut reader = Reader::new(msgpack, MAX_MEMORY);
    one_value(&mut reader, 0).filter(|value| is_storable(value, MAX_DEPTH))
}

/// Whether a value is nested at most so deep.
fn is_storable(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_storable(item, depth - 1)),
        Value::Object(map) => depth > 0 && map.values().all(|value| is_storable(value, depth - 1)),
        _ => true,
    }
}

fn one_value(reader: &mut Reader<'_>, depth: usize) -> Option<Value> {
    let value = next_value(reader, depth)?;
    reader.is_at_end().then_some(value)
}

fn next_value(reader: &mut Reader<'_>, depth: usize) -> Option<Value> {
    let token = reader.token()?;
    value_of(token, reader, depth)
}

/// `depth` is how many values are around this one.
fn value_of<'a>(token: Token<'a>, reader: &mut Reader<'a>, depth: usize) -> Option<Value> {
    match token {
        Token::Nil => Some(Value::Null),
        Token::Bool(bool) => Some(Value::Bool(bool)),
        Token::Unsigned(number) => Some(number.into()),
        Token::Negative(number) => Some(number.into()),
        Token::Float(float) => Some(number_of(float)),
        Token::Text(text) => Some(text.into()),
        Token::Bytes(bytes) => Some(with_value(tag::BYTES, bytes::to_text(bytes))),
        // What is nested deeper has no form, and hostile bytes no way to use up the stack.
        _ if depth == MAX_DEPTH => None,
        Token::Array(length) => array(length, reader, depth + 1),
        Token::Map(length) => pairs(length, reader, depth + 1).map(map),
        Token::Ext(code, body) => {
            let form = reader.inside(body, |body| readable_ext(code, body, depth + 1));
            Some(form.unwrap_or_else(|| ext(code, body)))
        }
    }
}

fn number_of(float: f64) -> Value {
    if let Some(number) = Number::from_f64(float) {
        return Value::Number(number);
    }
    let text = match float.to_bits() {
        bits if bits == f64::NAN.to_bits() => "NaN".to_owned(),
        bits if bits == f64::INFINITY.to_bits() => "Infinity".to_owned(),
        bits if bits == f64::NEG_INFINITY.to_bits() => "-Infinity".to_owned(),
        bits => format!("0x{bits:016x}"),
    };
    with_value(tag::FLOAT, text)
}

/// The length is what the bytes claim: nothing is reserved for it.
fn array(length: usize, reader: &mut Reader<'_>, depth: usize) -> Option<Value> {
    let mut items = Vec::new();
    for _ in 0..length {
        items.push(next_value(reader, depth)?);
    }
    Some(Value::Array(items))
}

type Pair<'a> = (Key<'a>, Value);

enum Key<'a> {
    Text(&'a str),
    Other(Value),
}

impl From<Key<'_>> for Value {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::Text(text) => text.into(),
            Key::Other(value) => value,
        }
    }
}

fn pairs<'a>(length: usize, reader: &mut Reader<'a>, depth: usize) -> Option<Vec<Pair<'a>>> {
    let mut pairs = Vec::new();
    for _ in 0..length {
        let key = match reader.token()? {
            Token::Text(text) => Key::Text(text),
            other => Key::Other(value_of(other, reader, depth)?),
        };
        pairs.push((key, next_value(reader, depth)?));
    }
    Some(pairs)
}

/// The keys of an object, if the pairs can be one.
fn object_keys<'a>(pairs: &[Pair<'a>]) -> Option<(Vec<&'a str>, Order)> {
    let text = |pair: &Pair<'a>| match pair.0 {
        Key::Text(text) => Some(text),
        Key::Other(_) => None,
    };
    let keys: Vec<_> = pairs.iter().map(text).collect::<Option<_>>()?;
    let order = order_of(&keys)?;
    Some((keys, order))
}

fn object(keys: Vec<&str>, pairs: Vec<Pair<'_>>) -> Map<String, Value> {
    let keys = keys.into_iter().map(str::to_owned);
    keys.zip(pairs.into_iter().map(|(_, value)| value))
        .collect()
}

fn map(pairs: Vec<Pair<'_>>) -> Value {
    let Some((keys, order)) = object_keys(&pairs) else {
        let pairs = pairs.into_iter();
        let pairs = pairs.map(|(key, value)| Value::Array(vec![key.into(), value]));
        return with_value(tag::MAP, pairs.collect::<Vec<_>>());
    };
    if keys.iter().any(|key| is_reserved(key)) {
        let mut form = tagged(tag::DICT);
        form.insert(VALUE.to_owned(), object(keys, pairs).into());
        insert_order(&mut form, order);
        return Value::Object(form);
    }
    let mut form = object(keys, pairs);
    insert_order(&mut form, order);
    Value::Object(form)
}

fn insert_order(form: &mut Map<String, Value>, order: Order) {
    if let Order::Other(order) = order {
        form.insert(ORDER.to_owned(), order.into());
    }
}

fn tagged(tag: &str) -> Map<String, Value> {
    Map::from_iter([(TAG.to_owned(), tag.into())])
}

pub(super) fn with_value(tag: &str, value: impl Into<Value>) -> Value {
    let mut form = tagged(tag);
    form.insert(VALUE.to_owned(), value.into());
    Value::Object(form)
}

/// An extension type as it is.
fn ext(code: i8, body: &[u8]) -> Value {
    let mut form = tagged(tag::EXT);
    form.insert("code".to_owned(), code.into());
    form.insert(VALUE.to_owned(), bytes::to_text(body).into());
    Value::Object(form)
}

fn readable_ext(code: i8, body: &mut Reader<'_>, depth: usize) -> Option<Value> {
    match code {
        code::NUMPY => numpy(body, depth),
        code::SNAPSHOT => Some(with_value(tag::SNAPSHOT, one_value(body, depth)?)),
        code::CALL..=code::PYDANTIC_2 => class(code, body, depth),
        _ => None,
    }
}

/// `[dtype, shape, order, content]`
fn numpy(reader: &mut Reader<'_>, depth: usize) -> Option<Value> {
    let (Token::Array(4), Token::Text(dtype)) = (reader.token()?, reader.token()?) else {
        return None;
    };
    let shape = next_value(reader, depth)?;
    let (Token::Text(order), Token::Bytes(content)) = (reader.token()?, reader.token()?) else {
        return None;
    };
    let mut form = tagged(tag::NUMPY);
    form.insert("dtype".to_owned(), dtype.into());
    form.insert("shape".to_owned(), shape);
    form.insert("order".to_owned(), order.into());
    form.insert(VALUE.to_owned(), bytes::to_text(content).into());
    reader.is_at_end().then_some(Value::Object(form))
}

/// `[module, name, value]`, or with a method behind it.
fn class(code: i8, reader: &mut Reader<'_>, depth: usize) -> Option<Value> {
    let Token::Array(length) = reader.token()? else {
        return None;
    };
    let mut words = vec![code.to_string(), word(reader)?, word(reader)?];
    let content = reader.token()?;
    let content = match (code, content) {
        (code::CALL_WITH_NAMES | code::PYDANTIC_1 | code::PYDANTIC_2, Token::Map(length)) => {
            Content::Members(pairs(length, reader, depth + 1)?)
        }
        (code::CALL | code::CALL_WITH_ARGUMENTS | code::METHOD, token) => {
            Content::Value(value_of(token, reader, depth)?)
        }
        _ => return None,
    };
    match (code, length) {
        (code::METHOD, 4) => words.push(word(reader)?),
        (code::PYDANTIC_2, 4) => {
            let method = word(reader)?;
            words.extend((method != PYDANTIC_2_METHOD).then_some(method));
        }
        (code::METHOD | code::PYDANTIC_2, _) => return None,
        (_, 3) => {}
        _ => return None,
    }
    if !reader.is_at_end() {
        return None;
    }
    content.form(&words.join(" "))
}

fn word(reader: &mut Reader<'_>) -> Option<String> {
    match reader.token()? {
        Token::Text(text) if is_word(text) => Some(text.to_owned()),
        _ => None,
    }
}

/// What an object of a class is made of.
enum Content<'a> {
    Value(Value),
    Members(Vec<Pair<'a>>),
}

impl Content<'_> {
    fn form(self, tag: &str) -> Option<Value> {
        let pairs = match self {
            Self::Value(value) => return Some(with_value(tag, value)),
            Self::Members(pairs) => pairs,
        };
        let (keys, order) = object_keys(&pairs)?;
        if keys.iter().any(|key| is_reserved(key)) {
            return None;
        }
        let mut form = object(keys, pairs);
        form.insert(TAG.to_owned(), tag.into());
        insert_order(&mut form, order);
        Some(Value::Object(form))
    }
}
