//! Many selectors, to be found by labels without looking at each.

use std::collections::HashMap;

use crate::resources::Labels;

/// Values by selectors of equal labels. Each is filed under the label that the fewest have.
#[derive(Debug)]
pub(super) struct Selectors<'s, V> {
    by_label: HashMap<(&'s str, &'s str), Vec<(&'s Labels, V)>>,
    empty: Vec<V>,
    /// The first value of each selector.
    first: HashMap<&'s Labels, V>,
}

impl<'s, V: Copy> Selectors<'s, V> {
    pub(super) fn new(values: Vec<(&'s Labels, V)>) -> Self {
        let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
        for label in values.iter().flat_map(|(selector, _)| pairs(selector)) {
            *counts.entry(label).or_default() += 1;
        }
        let mut filed = Self {
            by_label: HashMap::new(),
            empty: Vec::new(),
            first: HashMap::new(),
        };
        for (selector, value) in values {
            filed.first.entry(selector).or_insert(value);
            match pairs(selector).min_by_key(|label| counts.get(label)) {
                None => filed.empty.push(value),
                Some(label) => filed
                    .by_label
                    .entry(label)
                    .or_default()
                    .push((selector, value)),
            }
        }
        filed
    }

    /// The values of selectors that select nothing in particular.
    pub(super) fn empty(&self) -> impl Iterator<Item = &V> {
        self.empty.iter()
    }

    /// The values of other selectors whose labels are all among these.
    pub(super) fn matching<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a V> {
        let filed = labels
            .iter()
            .filter_map(|(key, value)| self.by_label.get(&(key.as_str(), value.as_str())));
        let is_subset = |selector: &Labels| {
            selector
                .iter()
                .all(|(key, value)| labels.get(key) == Some(value))
        };
        filed
            .flatten()
            .filter(move |(selector, _)| is_subset(selector))
            .map(|(_, value)| value)
    }

    /// The first value that has just this selector.
    pub(super) fn first(&self, selector: &Labels) -> Option<V> {
        self.first.get(selector).copied()
    }
}

fn pairs(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
}
