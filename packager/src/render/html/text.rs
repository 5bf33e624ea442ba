//! Text as a page has it.

use std::fmt::{self, Write as _};

/// A text as HTML has it, between tags and in quotes alike.
pub(super) struct Escaped<'t>(pub(super) &'t str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other if is_hidden(other) => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Controls, but for the one that ends a line, and what turns the direction of letters round (Unicode
/// Standard Annex #9), so that a name looks like another.
fn is_hidden(letter: char) -> bool {
    (letter.is_control() && letter != '\n')
        || matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The places of findings, in an attribute.
pub(super) struct Places<'p>(pub(super) &'p [usize]);

impl fmt::Display for Places<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, place) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{place}")?;
        }
        Ok(())
    }
}

/// A number of things, in words.
pub(super) fn count(number: usize, name: &str) -> String {
    format!("{number} {name}{}", if number == 1 { "" } else { "s" })
}

/// A text of no more than so many letters: both ends of a longer one, which tell names apart.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let tail = most / 2;
    let head = text.chars().take(most - tail - 1);
    head.chain(['\u{2026}'])
        .chain(text.chars().skip(length - tail))
        .collect()
}
