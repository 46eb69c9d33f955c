//! Numbers in the forms that JSONB returns unchanged.

use std::sync::LazyLock;

use serde_json::Number;

/// Whether `serde_json` was built with `arbitrary_precision`, so that a `Number`
/// is a text. Any crate in the program may switch it on, so it is looked up when
/// the program runs.
pub(super) static ARBITRARY_PRECISION: LazyLock<bool> = LazyLock::new(|| {
    "1.00"
        .parse()
        .is_ok_and(|number: Number| number.to_string() == "1.00")
});

/// What a number is, the same with and without `arbitrary_precision`.
#[derive(Debug, PartialEq)]
pub(super) enum Kind {
    /// An integer from 0 to `u64::MAX`.
    Unsigned(u64),
    /// An integer below 0.
    Negative(i64),
    /// A finite float.
    Float(f64),
    /// A text that is none of these: under `arbitrary_precision` `1.50` is
    /// another number than `1.5`.
    Text(String),
}

pub(super) fn kind(number: &Number) -> Kind {
    if *ARBITRARY_PRECISION {
        kind_of_text(number.to_string())
    } else if let Some(unsigned) = number.as_u64() {
        Kind::Unsigned(unsigned)
    } else if let Some(negative) = number.as_i64() {
        Kind::Negative(negative)
    } else if let Some(float) = number.as_f64() {
        Kind::Float(float)
    } else {
        Kind::Text(number.to_string())
    }
}

fn kind_of_text(text: String) -> Kind {
    if let Ok(unsigned) = text.parse::<u64>()
        && unsigned.to_string() == text
    {
        return Kind::Unsigned(unsigned);
    }
    if let Ok(negative) = text.parse::<i64>()
        && negative.to_string() == text
    {
        return Kind::Negative(negative);
    }
    match float(&text) {
        Some(float) if print(float).as_deref() == Some(&text) => Kind::Float(float),
        _ => Kind::Text(text),
    }
}

/// Writes a float without an exponent but with a point. JSONB expands exponents
/// and would give the float back as an integer.
pub(super) fn positional(float: f64) -> String {
    let mut text = float.to_string();
    if !text.contains('.') {
        text.push_str(".0");
    }
    text
}

/// The longest text that is left to JSONB; no float's is longer. Far beyond it
/// JSONB would round.
const MAX_PLAIN: usize = 400;

/// Whether a [`Kind::Text`] may be stored as a plain number: JSONB keeps it as it
/// is, [`restore`] doesn't take it for a float, and a program without
/// `arbitrary_precision` reads the same number.
pub(super) fn is_plain(text: &str) -> bool {
    let survives = text.len() <= MAX_PLAIN
        && text.contains('.')
        && !text.contains(['e', 'E'])
        && positional_float(text).is_none();
    survives
        && float(text).is_some_and(|float| {
            !(float == 0.0 && float.is_sign_negative())
                && print(float).is_some_and(|printed| same_number(text, &printed))
        })
}

/// Whether a number can be stored by its text: parsing the text gives it again.
pub(super) fn is_parsed(text: &str) -> bool {
    text.parse()
        .is_ok_and(|number: Number| number.to_string() == text)
}

/// Reads the text of an escaped number; `None` if no number, or none that this
/// program can hold exactly, has that text.
pub(super) fn parse(text: &str) -> Option<Number> {
    let number: Number = text.parse().ok()?;
    let printed = number.to_string();
    (printed == text || same_number(text, &printed)).then_some(number)
}

/// Gives a float that was written by [`positional`] its own text again, which
/// matters under `arbitrary_precision` only.
pub(super) fn restore(number: &mut Number) {
    if let Some(float) = positional_float(&number.to_string())
        && let Some(restored) = Number::from_f64(float)
    {
        *number = restored;
    }
}

fn positional_float(text: &str) -> Option<f64> {
    float(text).filter(|float| positional(*float) == text)
}

fn float(text: &str) -> Option<f64> {
    text.parse().ok().filter(|float: &f64| float.is_finite())
}

/// What `serde_json` prints for a float, also under `arbitrary_precision`.
fn print(float: f64) -> Option<String> {
    Number::from_f64(float).map(|number| number.to_string())
}

/// Whether two JSON numbers are exactly the same decimal.
fn same_number(left: &str, right: &str) -> bool {
    match (Decimal::of(left), Decimal::of(right)) {
        (Some(left), Some(right)) => left == right,
        _ => false,
    }
}

/// A decimal number without its insignificant zeros.
#[derive(PartialEq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `None` if the exponent is beyond all that could be computed with.
    fn of(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, i64::from(exponent.parse::<i32>().ok()?)),
            None => (text, 0),
        };
        let unsigned = mantissa.trim_start_matches('-');
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{fraction}");
        let digits = digits.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        let exponent = match significant {
            "" => 0,
            _ => exponent - fraction.len() as i64 + (digits.len() - significant.len()) as i64,
        };
        Some(Self {
            negative: mantissa.starts_with('-'),
            digits: significant.to_owned(),
            exponent,
        })
    }
}
