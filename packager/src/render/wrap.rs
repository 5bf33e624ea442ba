//! Text in lines of limited width.

/// The lines of a text, broken at blanks. The first line begins after `first` characters that are already
/// there, and the others are indented. A longer word has a line of its own.
pub(super) fn wrapped(text: &str, first: usize, indent: usize, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut column = first;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        let Some(line) = lines.last_mut() else {
            continue;
        };
        if line.trim_start().is_empty() {
            line.push_str(word);
            column += length;
        } else if column + 1 + length <= width {
            line.push(' ');
            line.push_str(word);
            column += 1 + length;
        } else {
            lines.push(format!("{:indent$}{word}", ""));
            column = indent + length;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrapped("one two three", 0, 2, 8), ["one two", "  three"]);
        assert_eq!(
            wrapped("one two three", 5, 2, 8),
            ["one", "  two", "  three"]
        );
        assert_eq!(wrapped("abcdefghijk x", 0, 2, 8), ["abcdefghijk", "  x"]);
        assert_eq!(wrapped("one", 0, 2, 8), ["one"]);
        assert_eq!(wrapped("", 0, 2, 8), [""]);
    }
}
