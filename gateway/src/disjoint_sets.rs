//! Disjoint sets of numbers (union-find).

/// Disjoint sets of the numbers from 0. The smallest number of a set represents it.
#[derive(Debug)]
pub struct DisjointSets(Vec<usize>);

impl DisjointSets {
    /// The numbers below `count`, each in its own set.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The smallest number of the set that contains `number`.
    pub fn first(&mut self, number: usize) -> usize {
        // Each number refers to a smaller one of its set, and the smallest to itself.
        let mut first = number;
        while let Some(parent) = self.0.get(first)
            && *parent != first
        {
            first = *parent;
        }
        // Shorten the path for the next call.
        if let Some(parent) = self.0.get_mut(number) {
            *parent = first;
        }
        first
    }

    /// Joins the sets of two numbers.
    pub fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.first(one), self.first(other));
        if let Some(parent) = self.0.get_mut(one.max(other)) {
            *parent = one.min(other);
        }
    }
}
