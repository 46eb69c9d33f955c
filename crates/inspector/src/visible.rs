//! Text of others, made safe to show.

use std::borrow::Cow;

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
    for char in text.chars() {
        match char {
            '\n' | '\t' | '\r' => shown.extend(char.escape_default()),
            _ if is_hidden(char) => shown.extend(char.escape_unicode()),
            _ => shown.push(char),
        }
    }
    Cow::Owned(shown)
}

/// Whether a character is acted upon, or not shown.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char,
            // Soft hyphen, Arabic letter mark, Mongolian vowel separator.
            '\u{ad}' | '\u{61c}' | '\u{180e}'
            // Zero width, and marks of direction.
            | '\u{200b}'..='\u{200f}'
            // Separators of lines, and what embeds or overrides a direction.
            | '\u{2028}'..='\u{202e}'
            // Invisible operators, and what isolates a direction.
            | '\u{2060}'..='\u{206f}'
            // Zero width no-break space, annotations, tags.
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_a_terminal_acts_upon_is_escaped() {
        let hostile = "a\u{1b}[31m\u{7}\u{9b}2J\r\n\tb";
        assert_eq!(visible(hostile), r"a\u{1b}[31m\u{7}\u{9b}2J\r\n\tb");
    }

    #[test]
    fn what_is_not_shown_is_escaped() {
        for char in ['\u{200b}', '\u{202e}', '\u{2066}', '\u{feff}', '\u{e0041}'] {
            let shown = visible(&format!("a{char}b")).into_owned();
            assert_eq!(shown, format!("a{}b", char.escape_unicode()));
        }
    }

    #[test]
    fn letters_of_any_language_stay() {
        let text = "שלום, 你好, café, 👍🏽";
        assert_eq!(visible(text), text);
    }
}
