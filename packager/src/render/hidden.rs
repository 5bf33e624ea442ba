//! Characters that could make a name look like another, or control a terminal.

use gateway::shell::is_hidden;

/// The character that replaces a hidden one.
pub(super) const REPLACEMENT: char = '\u{fffd}';

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
