//! Texts from other programs, for messages of one line.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The longest text of another program in a message, in characters.
const LONGEST: usize = 300;

/// A text without characters that a terminal obeys: control characters, and those that change the direction of
/// text (Unicode Standard Annex #9). Names of files and texts of other programs may have them.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut visible = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_hidden(letter) {
            visible.extend(letter.escape_default());
        } else {
            visible.push(letter);
        }
    }
    Cow::Owned(visible)
}

fn is_hidden(letter: char) -> bool {
    (letter.is_control() && letter != '\n')
        || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{61c}')
        || matches!(letter, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of another program in one line that a terminal does not obey, cut off after 300 characters.
pub(crate) fn foreign(text: &str) -> String {
    short_line(&visible(&one_line(text)))
}

/// JSON in which every character that a terminal obeys is escaped. They are inside strings only.
pub(crate) fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hidden) {
        return Cow::Borrowed(json);
    }
    let mut visible = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_hidden(letter) {
            // All of these characters are one unit of UTF-16.
            // Writing to a string cannot fail.
            let _ = write!(visible, "\\u{:04x}", u32::from(letter));
        } else {
            visible.push(letter);
        }
    }
    Cow::Owned(visible)
}

/// The words of a text in one line.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The words of a text in one line, cut off after 300 characters.
pub(crate) fn short_line(text: &str) -> String {
    let line = one_line(text);
    // Cut at a character, not inside of one.
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, foreign, one_line, short_line, visible, visible_json};

    #[test]
    fn what_terminals_obey_becomes_visible() {
        assert_eq!(visible("a\nb é 日本"), "a\nb é 日本");
        assert_eq!(visible("a\x1b[2J\r\u{202e}b"), "a\\u{1b}[2J\\r\\u{202e}b");
    }

    #[test]
    fn texts_of_other_programs_are_one_harmless_line() {
        assert_eq!(
            foreign("a\x1b[2J\r\n \u{2028}b\u{9b}"),
            "a\\u{1b}[2J b\\u{9b}"
        );
        assert_eq!(
            foreign(&"\x1b".repeat(LONGEST)).chars().count(),
            LONGEST + 1
        );
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ "a\u{9b}": "\u{7f}\u{202e}\u{1b}\n é" });
        let json = visible_json(&value.to_string()).into_owned();
        assert!(!json.contains(super::is_hidden), "{json}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&json).unwrap(),
            value
        );
        assert_eq!(visible_json("{}"), "{}");
    }

    #[test]
    fn lines_become_one() {
        assert_eq!(one_line(" a\n\tb  c \n"), "a b c");
        assert_eq!(one_line(""), "");
    }

    #[test]
    fn a_long_text_is_cut_off() {
        let longest = "é".repeat(LONGEST);
        assert_eq!(short_line(&longest), longest);
        assert_eq!(short_line(&format!("{longest}x")), format!("{longest}…"));
    }
}
