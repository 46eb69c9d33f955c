//! What JSONB does to a text, for tests that have no server.

use std::fmt::Write;

/// A JSON text as JSONB would give it back: keys by length and then bytes, the
/// last of equal ones, numbers as `numeric` prints them.
#[track_caller]
pub(crate) fn through_jsonb(text: &[u8]) -> Vec<u8> {
    let mut reader = Reader { text, at: 0 };
    let read = reader.value();
    assert_eq!(reader.at, text.len(), "one value and nothing after it");
    let mut written = String::new();
    write(&read, &mut written);
    written.into_bytes()
}

enum Json {
    Word(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.text[self.at]
    }

    #[track_caller]
    fn take(&mut self, byte: u8) {
        assert_eq!(char::from(self.peek()), char::from(byte));
        self.at += 1;
    }

    fn members(&mut self, open: u8, close: u8, mut member: impl FnMut(&mut Self)) {
        self.take(open);
        while self.peek() != close {
            member(self);
            if self.peek() != close {
                self.take(b',');
            }
        }
        self.take(close);
    }

    fn value(&mut self) -> Json {
        match self.peek() {
            b'[' => {
                let mut items = Vec::new();
                self.members(b'[', b']', |reader| items.push(reader.value()));
                Json::Array(items)
            }
            b'{' => {
                let mut pairs = Vec::new();
                self.members(b'{', b'}', |reader| {
                    let key = reader.string();
                    reader.take(b':');
                    pairs.retain(|(other, _)| *other != key);
                    pairs.push((key, reader.value()));
                });
                pairs.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
                Json::Object(pairs)
            }
            b'"' => Json::Text(self.string()),
            b'n' | b't' | b'f' => Json::Word(self.word()),
            _ => Json::Word(numeric(&self.word())),
        }
    }

    fn string(&mut self) -> String {
        let start = self.at;
        self.take(b'"');
        while self.peek() != b'"' {
            self.at += if self.peek() == b'\\' { 2 } else { 1 };
        }
        self.take(b'"');
        let string: String = serde_json::from_slice(&self.text[start..self.at]).unwrap();
        assert!(!string.contains('\0'), "JSONB refuses U+0000");
        string
    }

    fn word(&mut self) -> String {
        let rest = &self.text[self.at..];
        let end = rest
            .iter()
            .position(|byte| b",]}".contains(byte))
            .unwrap_or(rest.len());
        self.at += end;
        String::from_utf8(rest[..end].to_vec()).unwrap()
    }
}

/// Expands exponents, keeps the scale, and drops the sign of zero.
fn numeric(text: &str) -> String {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: isize = exponent.parse().unwrap();
    let unsigned = mantissa.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut digits = format!("{whole}{fraction}");
    let mut point = whole.len() as isize + exponent;
    if point <= 0 {
        digits.insert_str(0, &"0".repeat((1 - point) as usize));
        point = 1;
    }
    while digits.len() < point as usize {
        digits.push('0');
    }
    let (whole, fraction) = digits.split_at(point as usize);
    let whole = whole.trim_start_matches('0');
    let sign = if mantissa.starts_with('-') && digits.contains(|digit| digit != '0') {
        "-"
    } else {
        ""
    };
    let whole = if whole.is_empty() { "0" } else { whole };
    let dot = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{dot}{fraction}")
}

fn write(json: &Json, out: &mut String) {
    match json {
        Json::Word(word) => out.push_str(word),
        Json::Text(text) => write!(out, "{}", serde_json::to_string(text).unwrap()).unwrap(),
        Json::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write!(out, "{}: ", serde_json::to_string(key).unwrap()).unwrap();
                write(value, out);
            }
            out.push('}');
        }
    }
}

#[test]
fn the_stand_in_answers_as_postgresql_did() {
    let text =
        br#"{"bb":[1e16,-0.0,-0,0.00,1.50,1e-7],"a":"\u0001a","\u001f":100000000000000000.0}"#;
    let answer = br#"{"\u001f": 100000000000000000.0, "a": "\u0001a", "bb": [10000000000000000, 0.0, 0, 0.00, 1.50, 0.0000001]}"#;
    assert_eq!(through_jsonb(text), answer);
}
