//! Texts from other programs, for messages of one line.

/// The longest text of another program in a message, in characters.
const LONGEST: usize = 300;

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
    use super::{LONGEST, one_line, short_line};

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
