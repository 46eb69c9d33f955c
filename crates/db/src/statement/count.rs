//! How many statements raw SQL has.

use super::{comment_end, is_in_word};

/// How many statements raw SQL has; at least one.
///
/// Those within quotes, such as the body of a function, don't count.
pub(crate) fn count(sql: &str) -> u32 {
    let sql = sql.as_bytes();
    let (mut at, mut ended, mut has_begun) = (0, 0_u32, false);
    while at < sql.len() {
        let rest = &sql[at..];
        if rest.starts_with(b"--") {
            at += rest
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(rest.len());
        } else if rest.starts_with(b"/*") {
            at = comment_end(sql, at);
        } else if rest[0] == b';' {
            ended = ended.saturating_add(u32::from(has_begun));
            has_begun = false;
            at += 1;
        } else {
            has_begun |= !rest[0].is_ascii_whitespace();
            at += length(sql, at);
        }
    }
    ended.saturating_add(u32::from(has_begun)).max(1)
}

/// The length of what begins at `at`, which is more than one byte if it is quoted.
fn length(sql: &[u8], at: usize) -> usize {
    let rest = &sql[at..];
    let end = match rest[0] {
        b'\'' => string_end(rest, has_escapes(&sql[..at])),
        b'"' => string_end(rest, false),
        b'$' if !at
            .checked_sub(1)
            .is_some_and(|before| is_in_word(sql[before])) =>
        {
            dollar_end(rest)
        }
        _ => Some(1),
    };
    end.unwrap_or(rest.len())
}

/// Where a string ends. A quote within it is doubled, which makes two strings of it here.
fn string_end(sql: &[u8], has_escapes: bool) -> Option<usize> {
    let mut at = 1;
    while at < sql.len() {
        match sql[at] {
            b'\\' if has_escapes => at += 2,
            byte if byte == sql[0] => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// Whether what is before a string makes it one in which a backslash escapes.
fn has_escapes(before: &[u8]) -> bool {
    match before {
        [.., last, b'e' | b'E'] => !is_in_word(*last),
        [b'e' | b'E'] => true,
        _ => false,
    }
}

/// Where a string ends that is quoted by `$` and a tag. A parameter isn't one.
fn dollar_end(sql: &[u8]) -> Option<usize> {
    let is_tag = |byte: &u8| is_in_word(*byte) || !byte.is_ascii();
    let tag = 1 + sql[1..].iter().take_while(|byte| is_tag(byte)).count();
    if sql.get(tag) != Some(&b'$') || sql[1].is_ascii_digit() {
        return Some(1);
    }
    let (tag, body) = sql.split_at(tag + 1);
    let end = body.windows(tag.len()).position(|window| window == tag)?;
    Some(tag.len() + end + tag.len())
}
