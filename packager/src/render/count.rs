//! Numbers with their nouns.

/// A number of things in words, such as `1 error` or `2 errors`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
