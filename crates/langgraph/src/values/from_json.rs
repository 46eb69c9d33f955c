//! From JSON back to MessagePack.

use serde_json::{Map, Number, Value};

use super::bytes;
use super::form::{
    MAX_DEPTH, Malformed, ORDER, PYDANTIC_2_METHOD, TAG, VALUE, code, is_reserved, tag,
};
use super::msgpack::Writer;
use super::order::reorder;

type Result<T> = std::result::Result<T, Malformed>;

/// Writes the value that `form` stands for.
pub(super) fn from_json(form: &Value) -> Result<Vec<u8>> {
    let mut writer = Writer::default();
    write(form, &mut writer, 0)?;
    Ok(writer.into_bytes())
}

fn write(form: &Value, writer: &mut Writer, depth: usize) -> Result<()> {
    match form {
        Value::Null => writer.nil(),
        Value::Bool(bool) => writer.bool(*bool),
        Value::Number(number) => write_number(number, writer)?,
        Value::String(text) => writer.text(text)?,
        _ if depth == MAX_DEPTH => return Err(Malformed::TooDeep),
        Value::Array(items) => write_array(items, writer, depth + 1)?,
        Value::Object(object) => write_object(object, writer, depth + 1)?,
    }
    Ok(())
}

fn write_number(number: &Number, writer: &mut Writer) -> Result<()> {
    if let Some(unsigned) = number.as_u64() {
        writer.unsigned(unsigned);
    } else if let Some(negative) = number.as_i64() {
        writer.negative(negative);
    } else {
        let is_float = number.is_f64();
        let float = number
            .as_f64()
            .filter(|float| is_float && float.is_finite());
        writer.float(float.ok_or(Malformed::Number)?);
    }
    Ok(())
}

fn write_array(items: &[Value], writer: &mut Writer, depth: usize) -> Result<()> {
    writer.array(items.len())?;
    items.iter().try_for_each(|item| write(item, writer, depth))
}

fn write_object(object: &Map<String, Value>, writer: &mut Writer, depth: usize) -> Result<()> {
    let Some(tag) = object.get(TAG) else {
        return write_members(&members(object)?, writer, depth);
    };
    let tag = tag.as_str().ok_or(Malformed::UnknownTag)?;
    match tag {
        tag::BYTES => writer.bytes(&bytes_of(value_of(object)?)?),
        tag::FLOAT => {
            writer.float(float(text(value_of(object)?)?)?);
            Ok(())
        }
        tag::MAP => write_map(value_of(object)?, writer, depth),
        tag::DICT => write_dict(object, writer, depth),
        tag::EXT => write_ext(object, writer),
        tag::NUMPY => write_numpy(object, writer, depth),
        tag::SNAPSHOT => {
            let mut body = Writer::default();
            write(value_of(object)?, &mut body, depth)?;
            writer.ext(code::SNAPSHOT, &body.into_bytes())
        }
        tag::OPAQUE => {
            writer.put(&opaque_msgpack(object)?);
            Ok(())
        }
        tag::JSON | tag::BYTEARRAY => Err(Malformed::Misplaced),
        _ => write_class(tag, object, writer, depth),
    }
}

/// The members of an object in their order, without what is reserved.
fn members(object: &Map<String, Value>) -> Result<Vec<(&str, &Value)>> {
    let all = object.iter().map(|(key, value)| (key.as_str(), value));
    let sorted: Vec<_> = all
        .filter(|(key, _)| *key != TAG && *key != ORDER)
        .collect();
    if sorted.iter().any(|(key, _)| is_reserved(key)) {
        return Err(Malformed::ReservedKey);
    }
    in_order(sorted, object.get(ORDER))
}

fn in_order<'a>(
    mut members: Vec<(&'a str, &'a Value)>,
    order: Option<&Value>,
) -> Result<Vec<(&'a str, &'a Value)>> {
    // A program may have chosen that a `Map` isn't sorted.
    members.sort_unstable_by_key(|(key, _)| *key);
    match order {
        Some(order) => reorder(&members, order.as_str().ok_or(Malformed::Order)?),
        None => Ok(members),
    }
}

fn write_members(members: &[(&str, &Value)], writer: &mut Writer, depth: usize) -> Result<()> {
    writer.map(members.len())?;
    for (key, value) in members {
        writer.text(key)?;
        write(value, writer, depth)?;
    }
    Ok(())
}

/// The value of a tagged object that has one, and nothing else.
pub(super) fn value_of(object: &Map<String, Value>) -> Result<&Value> {
    let [value] = exactly(object, [VALUE])?;
    Ok(value)
}

/// The members of a tagged object, which has these and no others.
pub(super) fn exactly<'a, const N: usize>(
    object: &'a Map<String, Value>,
    keys: [&str; N],
) -> Result<[&'a Value; N]> {
    if object.len() != N + 1 {
        return Err(Malformed::Members);
    }
    let mut values = [&Value::Null; N];
    for (value, key) in values.iter_mut().zip(keys) {
        *value = object.get(key).ok_or(Malformed::Members)?;
    }
    Ok(values)
}

pub(super) fn text(value: &Value) -> Result<&str> {
    value.as_str().ok_or(Malformed::Members)
}

pub(super) fn bytes_of(value: &Value) -> Result<Vec<u8>> {
    bytes::from_text(text(value)?).ok_or(Malformed::Base64)
}

fn float(text: &str) -> Result<f64> {
    match text {
        "NaN" => Ok(f64::NAN),
        "Infinity" => Ok(f64::INFINITY),
        "-Infinity" => Ok(f64::NEG_INFINITY),
        _ => {
            let bits = text.strip_prefix("0x").ok_or(Malformed::Members)?;
            let bits = u64::from_str_radix(bits, 16).map_err(|_| Malformed::Members)?;
            Ok(f64::from_bits(bits))
        }
    }
}

fn write_map(pairs: &Value, writer: &mut Writer, depth: usize) -> Result<()> {
    let pairs = pairs.as_array().ok_or(Malformed::Members)?;
    writer.map(pairs.len())?;
    for pair in pairs {
        let Some([key, value]) = pair.as_array().map(Vec::as_slice) else {
            return Err(Malformed::Members);
        };
        write(key, writer, depth)?;
        write(value, writer, depth)?;
    }
    Ok(())
}

/// The members of the map itself are whatever they are: none is reserved.
fn write_dict(object: &Map<String, Value>, writer: &mut Writer, depth: usize) -> Result<()> {
    let order = object.get(ORDER);
    let value = match order {
        Some(_) => exactly(object, [VALUE, ORDER])?[0],
        None => value_of(object)?,
    };
    let members = value.as_object().ok_or(Malformed::Members)?;
    let members = members.iter().map(|(key, value)| (key.as_str(), value));
    write_members(&in_order(members.collect(), order)?, writer, depth)
}

fn write_ext(object: &Map<String, Value>, writer: &mut Writer) -> Result<()> {
    let [code, value] = exactly(object, ["code", VALUE])?;
    let code = code.as_i64().and_then(|code| i8::try_from(code).ok());
    writer.ext(code.ok_or(Malformed::Members)?, &bytes_of(value)?)
}

fn write_numpy(object: &Map<String, Value>, writer: &mut Writer, depth: usize) -> Result<()> {
    let [dtype, shape, order, content] = exactly(object, ["dtype", "shape", "order", VALUE])?;
    let mut body = Writer::default();
    body.array(4)?;
    body.text(text(dtype)?)?;
    write(shape, &mut body, depth)?;
    body.text(text(order)?)?;
    body.bytes(&bytes_of(content)?)?;
    writer.ext(code::NUMPY, &body.into_bytes())
}

/// What a tag of several words says.
struct Class<'a> {
    code: i8,
    module: &'a str,
    name: &'a str,
    method: Option<&'a str>,
}

impl<'a> Class<'a> {
    fn of(tag: &'a str) -> Option<Self> {
        let words: Vec<_> = tag.split(' ').collect();
        let (code, module, name, method) = match words[..] {
            ["0", module, name] => (code::CALL, module, name, None),
            ["1", module, name] => (code::CALL_WITH_ARGUMENTS, module, name, None),
            ["2", module, name] => (code::CALL_WITH_NAMES, module, name, None),
            ["3", module, name, method] => (code::METHOD, module, name, Some(method)),
            ["4", module, name] => (code::PYDANTIC_1, module, name, None),
            ["5", module, name] => (code::PYDANTIC_2, module, name, Some(PYDANTIC_2_METHOD)),
            ["5", module, name, method] => (code::PYDANTIC_2, module, name, Some(method)),
            _ => return None,
        };
        Some(Self {
            code,
            module,
            name,
            method,
        })
    }

    /// Whether the object is the map that it is made of, and not something that has a value.
    fn is_flat(&self) -> bool {
        matches!(
            self.code,
            code::CALL_WITH_NAMES | code::PYDANTIC_1 | code::PYDANTIC_2
        )
    }
}

fn write_class(
    tag: &str,
    object: &Map<String, Value>,
    writer: &mut Writer,
    depth: usize,
) -> Result<()> {
    let class = Class::of(tag).ok_or(Malformed::UnknownTag)?;
    let mut body = Writer::default();
    body.array(3 + usize::from(class.method.is_some()))?;
    body.text(class.module)?;
    body.text(class.name)?;
    if class.is_flat() {
        write_members(&members(object)?, &mut body, depth)?;
    } else {
        write(value_of(object)?, &mut body, depth)?;
    }
    if let Some(method) = class.method {
        body.text(method)?;
    }
    writer.ext(class.code, &body.into_bytes())
}

/// What was kept as it was may be an item of a list that was put together from forms.
fn opaque_msgpack(object: &Map<String, Value>) -> Result<Vec<u8>> {
    let [type_name, value] = exactly(object, ["type", VALUE])?;
    match text(type_name)? {
        "msgpack" => bytes_of(value),
        _ => Err(Malformed::Misplaced),
    }
}
