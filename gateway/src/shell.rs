//! Words of command lines that a user pastes into a shell. Names come from resources and files, so they can have
//! any characters.

use std::fmt::Write as _;

/// Whether a character is a control character, or changes the direction of text (Unicode Standard Annex #9).
#[must_use]
pub fn is_hidden(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A path as an argument: a path that begins with a dash must not look like a flag.
#[must_use]
pub fn path(path: &str) -> String {
    if path.starts_with('-') && path != "-" {
        format!("./{path}")
    } else {
        path.to_owned()
    }
}

/// A word as a POSIX shell reads it back (IEEE Std 1003.1-2024, "Quoting").
#[must_use]
pub fn word(word: &str) -> String {
    if word.chars().any(is_hidden) {
        return dollar_quoted(word);
    }
    let is_plain = !word.is_empty()
        && word
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "_./:@%+=,-".contains(letter));
    if is_plain {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A word with escapes for the characters that a terminal would not show.
fn dollar_quoted(word: &str) -> String {
    let mut text = String::from("$'");
    for letter in word.chars() {
        match letter {
            '\'' | '\\' => {
                text.push('\\');
                text.push(letter);
            }
            letter if is_hidden(letter) => {
                for octet in letter.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String does not fail. An octal escape has at most three digits, so that
                    // no digit after it belongs to it.
                    let _ = write!(text, "\\{octet:03o}");
                }
            }
            letter => text.push(letter),
        }
    }
    text.push('\'');
    text
}

#[cfg(test)]
mod tests {
    use super::{path, word};

    #[test]
    fn words_are_quoted_for_a_shell() {
        for (text, expected) in [
            ("a/b.yaml", "a/b.yaml"),
            ("", "''"),
            ("a b", "'a b'"),
            ("$(reboot)", "'$(reboot)'"),
            ("it's", r"'it'\''s'"),
            ("~/x", "'~/x'"),
            ("a\u{1b}[2Jb'c\\", r"$'a\033[2Jb\'c\\'"),
            ("a\u{202e}b", r"$'a\342\200\256b'"),
        ] {
            assert_eq!(word(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_path_is_not_a_flag() {
        assert_eq!(path("-x.yaml"), "./-x.yaml");
        assert_eq!(path("-"), "-");
        assert_eq!(path("a/-x.yaml"), "a/-x.yaml");
        assert_eq!(word("-x y"), "'-x y'");
    }
}
