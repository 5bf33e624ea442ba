//! What belongs together, directly or by way of others (union-find).

/// Disjoint sets of the numbers from 0 on, each with its least one standing for it.
#[derive(Debug)]
pub struct DisjointSets(Vec<usize>);

impl DisjointSets {
    /// So many numbers, each in a set of its own.
    #[must_use]
    pub fn of(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The number that stands for the set of another.
    pub fn first(&mut self, number: usize) -> usize {
        let mut at = number;
        while let Some(above) = self.0.get(at).copied().filter(|above| *above != at) {
            at = above;
        }
        // The next look is short.
        if let Some(own) = self.0.get_mut(number) {
            *own = at;
        }
        at
    }

    /// Makes one set of those of two numbers.
    pub fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.first(one), self.first(other));
        if let Some(own) = self.0.get_mut(one.max(other)) {
            *own = one.min(other);
        }
    }
}
