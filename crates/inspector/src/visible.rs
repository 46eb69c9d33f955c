//! Text of others, made safe to show.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Makes every character visible that a terminal or a page would act upon, or not show: control and
/// escape characters, those that change the direction of text, and those without a width become
/// escapes such as `\u{202e}`. A line feed and a tab do, too.
///
/// States, names and metadata are text of others. Shown as it is, it could move the cursor, change
/// what was printed before, or look like another text.
///
/// # Examples
///
/// ```
/// assert_eq!(inspector::visible("caf\u{e9}"), "caf\u{e9}");
/// assert_eq!(inspector::visible("\u{1b}[2J"), r"\u{1b}[2J");
/// assert_eq!(inspector::visible("invoice\u{202e}fdp.exe"), r"invoice\u{202e}fdp.exe");
/// ```
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut before = None;
    for char in text.chars() {
        match char {
            '\n' | '\t' | '\r' => shown.extend(char.escape_default()),
            _ if is_hidden(char) && !is_seen_after(before, char) => {
                shown.extend(char.escape_unicode());
            }
            _ => shown.push(char),
        }
        before = Some(char);
    }
    Cow::Owned(shown)
}

/// Makes the same characters visible in a line of JSON, by escapes of JSON's own, such as `\u202e`: those who
/// parse it read what it was before.
///
/// # Examples
///
/// ```
/// use checkpointer::serde_json::json;
///
/// let line = json!({ "file": "invoice\u{202e}fdp.exe" }).to_string();
/// let shown = inspector::visible_in_json(&line);
/// assert_eq!(shown, r#"{"file":"invoice\u202efdp.exe"}"#);
/// ```
pub fn visible_in_json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    let mut before = None;
    for char in text.chars() {
        let is_seen = !is_hidden(char) || is_seen_after(before, char);
        before = Some(char);
        if is_seen {
            shown.push(char);
            continue;
        }
        for unit in char.encode_utf16(&mut [0; 2]) {
            // Writing to a string doesn't fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is acted upon, or not shown.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            // Soft hyphen, grapheme joiner, Arabic letter mark.
            '\u{ad}' | '\u{34f}' | '\u{61c}'
            // Letters that are empty: of Hangul, of Khmer, of Khitan, and of Braille.
            | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{17b4}' | '\u{17b5}'
            | '\u{16fe4}' | '\u{2800}'
            // Selectors of a variation.
            | '\u{fe00}'..='\u{fe0f}'
            // Controls of hieroglyphs and of shorthand.
            | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
            // Mongolian selectors and vowel separator.
            | '\u{180b}'..='\u{180f}'
            // Zero width, and marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Separators of lines, and what embeds or overrides a direction.
            | '\u{2028}'..='\u{202e}'
            // Invisible operators, and what isolates a direction.
            | '\u{2060}'..='\u{206f}'
            // Zero width no-break space, annotations, beams of music.
            | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            // Tags, selectors, and what is set aside for more of them.
            | '\u{e0000}'..='\u{e0fff}')
}

/// Whether a character that is hidden elsewhere is seen behind `before`: U+FE0F gives a heart its colour.
fn is_seen_after(before: Option<char>, char: char) -> bool {
    // Digits aren't among them: two ids must not look alike.
    let has_emoji_form = |before| {
        matches!(before,
            '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}'
            | '\u{2194}'..='\u{21aa}' | '\u{231a}'..='\u{23fa}' | '\u{24c2}'
            | '\u{25aa}'..='\u{25fe}' | '\u{2600}'..='\u{27bf}' | '\u{2934}' | '\u{2935}'
            | '\u{2b05}'..='\u{2b55}' | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}'
            | '\u{1f004}'..='\u{1faff}')
    };
    char == '\u{fe0f}' && before.is_some_and(has_emoji_form)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use checkpointer::serde_json;

    use super::{visible, visible_in_json};

    #[test]
    fn what_a_terminal_acts_upon_is_escaped() {
        let hostile = "a\u{1b}[31m\u{7}\u{9b}2J\r\n\tb";
        assert_eq!(visible(hostile), r"a\u{1b}[31m\u{7}\u{9b}2J\r\n\tb");
    }

    #[test]
    fn what_is_not_shown_is_escaped() {
        for char in "\u{200b}\u{202e}\u{2066}\u{feff}\u{e0041}\u{3164}\u{fe00}\u{fe0f}\u{1bca0}\u{13430}\u{2800}\u{16fe4}".chars() {
            let shown = visible(&format!("a{char}b")).into_owned();
            assert_eq!(shown, format!("a{}b", char.escape_unicode()));
        }
    }

    #[test]
    fn what_is_escaped_in_json_is_what_it_was() {
        let hostile = "a\u{1b}\u{7f}\u{9b}\u{202e}\u{e0041}\n\\\"é";
        let json = serde_json::to_string(hostile).unwrap();
        let shown = visible_in_json(&json);
        assert_eq!(shown, r#""a\u001b\u007f\u009b\u202e\udb40\udc41\n\\\"é""#);
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), hostile);
    }

    #[test]
    fn letters_of_any_language_stay() {
        let text = "שלום, 你好, café, 👍🏽, ❤\u{fe0f}";
        assert_eq!(visible(text), text);
        assert_eq!(visible_in_json(text), text);
    }

    #[test]
    fn a_selector_is_seen_only_behind_what_it_changes() {
        assert_eq!(visible("4711\u{fe0f}"), r"4711\u{fe0f}");
        assert_eq!(visible("❤\u{fe0f}\u{fe0f}"), "❤\u{fe0f}\\u{fe0f}");
        assert_eq!(visible_in_json("4711\u{fe0f}"), r"4711\ufe0f");
    }
}
