//! Where two JSON values differ first.

use std::fmt;

use serde_json::{Map, Number, Value};

/// The first place in which an answer isn't the one that was expected.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The place, such as `checkpoint.channel_values.messages[3]`; empty for the whole.
    pub path: String,
    /// What was expected there; nothing if the place shouldn't exist.
    pub expected: Option<Value>,
    /// What was there; nothing if the place doesn't exist.
    pub got: Option<Value>,
}

/// When two values are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// When they are the same, numbers to the bits of their kind.
    Strict,
    /// When the second is what the official saver, asked the same, gives as the first: it turns
    /// some floats into integers, and exceptions into text.
    Recorded,
}

/// How much of a value is shown.
const SHOWN: usize = 200;

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = match self.path.trim_start_matches('.') {
            "" => "the answer itself",
            path => path,
        };
        writeln!(f, "at       {path}")?;
        writeln!(f, "expected {}", shown(self.expected.as_ref()))?;
        write!(f, "got      {}", shown(self.got.as_ref()))
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

/// Finds the first place in which `got` isn't `expected`.
pub(crate) fn difference(expected: &Value, got: &Value, rule: Rule) -> Option<Difference> {
    let mut path = Vec::new();
    let (expected, got) = first(expected, got, rule, &mut path)?;
    path.reverse();
    Some(Difference {
        path: path.concat(),
        expected: expected.cloned(),
        got: got.cloned(),
    })
}

/// The two sides of a difference; a side that has nothing in that place is none.
type Sides<'a> = (Option<&'a Value>, Option<&'a Value>);

/// Finds the first difference; its path grows from the inside out.
fn first<'a>(
    expected: &'a Value,
    got: &'a Value,
    rule: Rule,
    path: &mut Vec<String>,
) -> Option<Sides<'a>> {
    match (expected, got) {
        (Value::Object(expected), Value::Object(got)) => {
            let mut keys: Vec<_> = expected.keys().chain(got.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                let found = either(expected.get(key), got.get(key), rule, path)?;
                path.push(step(key));
                Some(found)
            })
        }
        (Value::Array(expected), Value::Array(got)) => {
            (0..expected.len().max(got.len())).find_map(|index| {
                let found = either(expected.get(index), got.get(index), rule, path)?;
                path.push(format!("[{index}]"));
                Some(found)
            })
        }
        (Value::Number(left), Value::Number(right)) if same(left, right, rule) => None,
        (Value::String(text), Value::Object(error))
            if rule == Rule::Recorded && exception(error).as_ref() == Some(text) =>
        {
            None
        }
        _ if !expected.is_number() && expected == got => None,
        _ => Some((Some(expected), Some(got))),
    }
}

fn either<'a>(
    expected: Option<&'a Value>,
    got: Option<&'a Value>,
    rule: Rule,
    path: &mut Vec<String>,
) -> Option<Sides<'a>> {
    match (expected, got) {
        (Some(expected), Some(got)) => first(expected, got, rule, path),
        sides => Some(sides),
    }
}

fn step(key: &str) -> String {
    let is_word = |char: char| char.is_alphanumeric() || char == '_';
    if !key.is_empty() && key.chars().all(is_word) {
        format!(".{key}")
    } else {
        format!("[{}]", Value::from(key))
    }
}

fn same(left: &Number, right: &Number, rule: Rule) -> bool {
    // Equal floats have the same text only if they have the same sign.
    let exactly = left == right && left.to_string() == right.to_string();
    exactly || (rule == Rule::Recorded && same_value(left, right))
}

fn same_value(left: &Number, right: &Number) -> bool {
    match (integer(left), integer(right)) {
        (Some(left), Some(right)) => left == right,
        _ => left.as_f64() == right.as_f64(),
    }
}

/// The number as an integer, if it is one; a float by the digits it is written with.
fn integer(number: &Number) -> Option<i128> {
    let int = number.as_i64().map(i128::from);
    let int = int.or_else(|| number.as_u64().map(i128::from));
    int.or_else(|| number.as_f64()?.to_string().parse().ok())
}

/// The text that Python makes of an exception, which a trace has as an object.
fn exception(object: &Map<String, Value>) -> Option<String> {
    let name = object.get("$error")?.as_str()?;
    let args = object.get("args")?.as_array()?;
    let args: Vec<_> = args.iter().map(python).collect();
    Some(format!("{name}({})", args.join(", ")))
}

/// A value as Python's `repr` writes it.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') {
                '"'
            } else {
                '\''
            };
            let escaped: String = text.chars().map(|char| escape(char, quote)).collect();
            format!("{quote}{escaped}{quote}")
        }
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(python).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields: Vec<_> = fields
                .map(|(key, value)| format!("{}: {}", python(&key.as_str().into()), python(value)))
                .collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}

fn escape(char: char, quote: char) -> String {
    match char {
        '\\' => "\\\\".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        _ if char == quote => format!("\\{char}"),
        _ if char.is_control() => format!("\\x{:02x}", u32::from(char)),
        _ => char.to_string(),
    }
}

#[cfg(test)]
mod tests;
