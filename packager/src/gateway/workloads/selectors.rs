//! Many selectors, to be found by labels without looking at each.

use std::collections::HashMap;

use crate::gateway::resources::Labels;

/// Values by selectors of equal labels. Each is filed under one of its labels.
#[derive(Debug)]
pub(super) struct Selectors<'s, V> {
    by_label: HashMap<(&'s str, &'s str), Vec<(&'s Labels, V)>>,
    empty: Vec<V>,
}

impl<V> Default for Selectors<'_, V> {
    fn default() -> Self {
        Self { by_label: HashMap::new(), empty: Vec::new() }
    }
}

impl<'s, V> Selectors<'s, V> {
    pub(super) fn insert(&mut self, selector: &'s Labels, value: V) {
        match filed_under(selector) {
            None => self.empty.push(value),
            Some(label) => self.by_label.entry(label).or_default().push((selector, value)),
        }
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
        let is_subset =
            |selector: &Labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value));
        filed.flatten().filter(move |(selector, _)| is_subset(selector)).map(|(_, value)| value)
    }

    /// The values of just this selector.
    pub(super) fn of<'a>(&'a self, selector: &'a Labels) -> impl Iterator<Item = &'a V> {
        let filed = filed_under(selector).and_then(|label| self.by_label.get(&label));
        let same = filed.into_iter().flatten().filter(move |(other, _)| *other == selector);
        same.map(|(_, value)| value)
    }
}

/// Its last label: the first ones are often the same for all, such as `app`.
fn filed_under(selector: &Labels) -> Option<(&str, &str)> {
    selector.iter().next_back().map(|(key, value)| (key.as_str(), value.as_str()))
}
