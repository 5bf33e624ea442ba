//! Numbers by the patterns that they have.

use std::collections::HashMap;

use super::text_pattern::TextPattern;

/// Finds the patterns that cover a text without a look at all of them.
#[derive(Default)]
pub(super) struct PatternIndex {
    any: Vec<usize>,
    exact: HashMap<String, Vec<usize>>,
    prefix: HashMap<String, Vec<usize>>,
    suffix: HashMap<String, Vec<usize>>,
}

impl PatternIndex {
    pub(super) fn insert(&mut self, pattern: TextPattern, number: usize) {
        match pattern {
            TextPattern::Any => self.any.push(number),
            TextPattern::Exact(text) => self.exact.entry(text).or_default().push(number),
            TextPattern::Prefix(text) => self.prefix.entry(text).or_default().push(number),
            TextPattern::Suffix(text) => self.suffix.entry(text).or_default().push(number),
        }
    }

    /// The numbers of the patterns that cover a pattern ([`TextPattern::covers`]).
    pub(super) fn covering(&self, pattern: &TextPattern) -> Vec<usize> {
        let mut found = self.any.clone();
        let mut add = |map: &HashMap<String, Vec<usize>>, text: &str| {
            found.extend(map.get(text).into_iter().flatten());
        };
        match pattern {
            TextPattern::Any => {}
            TextPattern::Exact(text) => {
                add(&self.exact, text);
                prefixes(text).for_each(|prefix| add(&self.prefix, prefix));
                suffixes(text).for_each(|suffix| add(&self.suffix, suffix));
            }
            TextPattern::Prefix(text) => {
                prefixes(text).for_each(|prefix| add(&self.prefix, prefix));
            }
            TextPattern::Suffix(text) => {
                suffixes(text).for_each(|suffix| add(&self.suffix, suffix));
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// All beginnings of a text, itself too.
fn prefixes(text: &str) -> impl Iterator<Item = &str> {
    (0..=text.len()).filter_map(|end| text.get(..end))
}

/// All ends of a text, itself too.
fn suffixes(text: &str) -> impl Iterator<Item = &str> {
    (0..=text.len()).filter_map(|start| text.get(start..))
}

#[cfg(test)]
mod tests {
    use super::{PatternIndex, TextPattern};

    /// The index finds what a comparison with each pattern finds.
    #[test]
    fn the_index_agrees_with_the_comparison() {
        let texts = [
            "*", "a", "ab", "a*", "ab*", "*b", "*ab", "b*", "abc", "*abc", "*c*",
        ];
        let patterns = texts.map(TextPattern::new);
        let mut index = PatternIndex::default();
        for (number, pattern) in patterns.iter().enumerate() {
            index.insert(pattern.clone(), number);
        }
        for pattern in &patterns {
            let expected: Vec<usize> = patterns
                .iter()
                .enumerate()
                .filter(|(_, other)| other.covers(pattern))
                .map(|(number, _)| number)
                .collect();
            assert_eq!(index.covering(pattern), expected, "{pattern:?}");
        }
    }
}
