//! Numbers as people write them, and as JSON keeps them.

use checkpointer::serde_json::{self, Number};

/// Returns the first number in a JSON text that would have another value once it is read: an integer of more
/// than 64 bits, which becomes a float, or a fraction with more digits than a float keeps.
///
/// # Examples
///
/// ```
/// use inspector::json::changed_number;
///
/// assert_eq!(changed_number(r#"{ "order": 4711, "weight": 1.50 }"#), None);
/// let account = r#"{ "account": 49001234567890123456789 }"#;
/// assert_eq!(changed_number(account), Some("49001234567890123456789"));
/// ```
pub fn changed_number(json: &str) -> Option<&str> {
    let mut rest = json;
    while let Some(at) = rest.find(|char: char| char == '"' || char == '-' || char.is_ascii_digit())
    {
        rest = &rest[at..];
        let end = match rest.strip_prefix('"') {
            Some(text) => 1 + end_of_text(text),
            None => {
                let is_other = |char: char| !char.is_ascii_digit() && !"+-.eE".contains(char);
                let end = rest.find(is_other).unwrap_or(rest.len());
                if is_changed(&rest[..end]) {
                    return Some(&rest[..end]);
                }
                end
            }
        };
        rest = &rest[end..];
    }
    None
}

/// Where what follows a text begins, of which the first quote is gone.
fn end_of_text(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// What isn't a number at all is left to those who read it.
fn is_changed(written: &str) -> bool {
    let Ok(number) = serde_json::from_str::<Number>(written) else {
        return false;
    };
    let is_integer = !written.contains(['.', 'e', 'E']);
    let is_kept = || decimal(written) == decimal(&number.to_string());
    let is_zero = number.as_f64() == Some(0.0);
    number.is_f64() && (is_integer && !is_zero || !is_kept())
}

/// The sign, the digits without zeros around them, and the place of the point before the first.
fn decimal(number: &str) -> Option<(bool, String, i64)> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse().ok()?),
        None => (number, 0_i64),
    };
    let is_negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    if significant.is_empty() {
        return Some((is_negative, String::new(), 0));
    }
    let zeros = digits.len() - significant.len();
    let point =
        exponent.checked_add(i64::try_from(whole.len()).ok()? - i64::try_from(zeros).ok()?)?;
    Some((
        is_negative,
        significant.trim_end_matches('0').to_owned(),
        point,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_its_value_is_left_alone() {
        for json in [
            "0",
            "-0.0",
            "-0",
            "18446744073709551615",
            "-9223372036854775808",
            "1.0",
            "1.50",
            "0.1",
            "1e3",
            "1E+22",
            "2.5e-7",
            "0.00001",
            "1.7976931348623157e308",
            "5e-324",
            "100000000000000000000.0",
            r#"["99999999999999999999", "a \" 99999999999999999999", { "99999999999999999999": 1 }]"#,
            "",
            "a",
            "-",
        ] {
            assert_eq!(changed_number(json), None, "{json}");
        }
    }

    #[test]
    fn the_first_that_would_have_another_value_is_named() {
        for (json, number) in [
            ("18446744073709551616", "18446744073709551616"),
            ("-9223372036854775809", "-9223372036854775809"),
            // The digits are the same, but it is no integer any more.
            ("100000000000000000000", "100000000000000000000"),
            ("0.1000000000000000000001", "0.1000000000000000000001"),
            ("1e-400", "1e-400"),
            (
                r#"{ "\\": [1, 99999999999999999999, 2.00000000000000000001] }"#,
                "99999999999999999999",
            ),
        ] {
            assert_eq!(changed_number(json), Some(number), "{json}");
        }
    }
}
