//! Texts as HTML contains them.

use std::fmt::{self, Write as _};

use gateway::shell::is_hidden;

use super::super::hidden::REPLACEMENT;
use super::graph::FindingIndex;

/// Escapes a text for HTML, between tags and in quoted attributes.
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
                '\n' => f.write_char('\n')?,
                other if is_hidden(other) => f.write_char(REPLACEMENT)?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The value of the attribute `data-findings`: indices with blanks between them, which the script reads.
pub(super) struct FindingList<'f>(pub(super) &'f [FindingIndex]);

impl fmt::Display for FindingList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, index) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_char(' ')?;
            }
            write!(f, "{index}")?;
        }
        Ok(())
    }
}

/// A text of at most `max` characters. A longer text keeps both ends, which differ most between names.
pub(super) fn shortened(text: &str, max: usize) -> String {
    let length = text.chars().count();
    if length <= max {
        return text.to_owned();
    }
    let tail = max / 2;
    text.chars()
        .take(max - tail - 1)
        .chain(['\u{2026}'])
        .chain(text.chars().skip(length - tail))
        .collect()
}
