//! An index of selectors, which finds those that match some labels without comparing each of them.

use std::collections::HashMap;

use crate::resources::Labels;

/// Values by selector. Each selector is stored under the one of its labels that the fewest selectors have,
/// so that a lookup compares few of them.
#[derive(Debug)]
pub(super) struct Selectors<'s, V> {
    by_label: HashMap<(&'s str, &'s str), Vec<(&'s Labels, V)>>,
    unselective: Vec<V>,
    /// The first value of each selector.
    first: HashMap<&'s Labels, V>,
}

impl<'s, V: Copy> Selectors<'s, V> {
    pub(super) fn new(values: Vec<(&'s Labels, V)>) -> Self {
        // The number of selectors that have each label.
        let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
        for label in values.iter().flat_map(|(selector, _)| pairs(selector)) {
            *counts.entry(label).or_default() += 1;
        }

        let mut index = Self {
            by_label: HashMap::new(),
            unselective: Vec::new(),
            first: HashMap::new(),
        };
        for (selector, value) in values {
            index.first.entry(selector).or_insert(value);
            // The rarest label: `istio: ingressgateway` can be in thousands of selectors.
            match pairs(selector).min_by_key(|label| counts.get(label)) {
                None => index.unselective.push(value),
                Some(label) => index
                    .by_label
                    .entry(label)
                    .or_default()
                    .push((selector, value)),
            }
        }
        index
    }

    /// The values of selectors without labels.
    pub(super) fn unselective(&self) -> impl Iterator<Item = &V> {
        self.unselective.iter()
    }

    /// The values of selectors with labels, all of which are among `labels`.
    pub(super) fn matching<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a V> {
        // Each selector is stored under one of its labels, so no value is found twice.
        pairs(labels)
            .filter_map(|label| self.by_label.get(&label))
            .flatten()
            .filter(|(selector, _)| {
                selector
                    .iter()
                    .all(|(key, value)| labels.get(key) == Some(value))
            })
            .map(|(_, value)| value)
    }

    /// The first value that has exactly this selector.
    pub(super) fn first(&self, selector: &Labels) -> Option<V> {
        self.first.get(selector).copied()
    }
}

fn pairs(labels: &Labels) -> impl Iterator<Item = (&str, &str)> {
    labels
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::Selectors;
    use crate::resources::Labels;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn selectors_that_match() {
        let selectors = [
            labels(&[("istio", "ingressgateway")]),
            labels(&[("istio", "ingressgateway"), ("team", "a")]),
            labels(&[("istio", "egressgateway")]),
            labels(&[]),
        ];
        let index = Selectors::new(selectors.iter().zip(0..).collect());
        for (pods, expected) in [
            (labels(&[("istio", "ingressgateway")]), vec![0]),
            (
                labels(&[("istio", "ingressgateway"), ("team", "a"), ("x", "y")]),
                vec![0, 1],
            ),
            (labels(&[("team", "a")]), vec![]),
            (labels(&[]), vec![]),
        ] {
            let mut found: Vec<i32> = index.matching(&pods).copied().collect();
            found.sort_unstable();
            assert_eq!(found, expected, "{pods:?}");
        }
        assert_eq!(index.unselective().collect::<Vec<_>>(), [&3]);
        assert_eq!(index.first(&labels(&[("team", "a")])), None);
        assert_eq!(index.first(&labels(&[("istio", "egressgateway")])), Some(2));
    }
}
