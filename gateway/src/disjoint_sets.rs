//! Sets that grow by joining (union-find).

/// Disjoint sets of the numbers from 0 on, each represented by its least number.
#[derive(Debug)]
pub struct DisjointSets(Vec<usize>);

impl DisjointSets {
    /// The numbers below `count`, each in a set of its own.
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    /// The least number of the set of a number.
    pub fn first(&mut self, number: usize) -> usize {
        let mut first = number;
        while let Some(parent) = self.0.get(first).copied().filter(|parent| *parent != first) {
            first = parent;
        }
        // The next search from this number takes one step.
        if let Some(parent) = self.0.get_mut(number) {
            *parent = first;
        }
        first
    }

    /// Joins the sets of two numbers.
    pub fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.first(one), self.first(other));
        // The greater one points to the less, so that the least number stays the representative.
        if let Some(parent) = self.0.get_mut(one.max(other)) {
            *parent = one.min(other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::DisjointSets;

    #[test]
    fn the_least_number_represents_a_set() {
        let mut sets = DisjointSets::new(5);
        sets.join(4, 3);
        sets.join(3, 1);
        sets.join(2, 2);
        let first = [0, 1, 2, 3, 4].map(|number| sets.first(number));
        assert_eq!(first, [0, 1, 2, 1, 1]);
    }

    #[test]
    fn a_number_outside_stays_alone() {
        let mut sets = DisjointSets::new(1);
        sets.join(0, 7);
        assert_eq!([sets.first(0), sets.first(7)], [0, 7]);
    }
}
