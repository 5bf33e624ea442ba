//! Characters that could make a name look like another, or control a terminal.

/// The character that replaces a hidden one.
pub(super) const REPLACEMENT: char = '\u{fffd}';

/// Whether a character is a control character, or changes the direction of text (Unicode Standard Annex #9).
pub(super) fn is_hidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text without hidden characters, for a line of a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if is_hidden(letter) {
                REPLACEMENT
            } else {
                letter
            }
        })
        .collect()
}
