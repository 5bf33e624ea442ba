//! The faults of a configuration, with messages for its author.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// One fault: a path, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The path of the field, such as `servers["x"][1]`; empty for the whole document.
    pub path: String,
    /// What is wrong, as a fragment.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.problem)
    }
}

/// All the faults of a configuration: at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    first: Fault,
    rest: Vec<Fault>,
}

impl Faults {
    /// The fault of a document that could not be read at all.
    #[must_use]
    pub fn unreadable(problem: String) -> Self {
        Self {
            first: Fault {
                path: String::new(),
                problem,
            },
            rest: Vec::new(),
        }
    }

    /// All faults of a list; `None` if the list is empty.
    #[must_use]
    pub fn collect(faults: Vec<Fault>) -> Option<Self> {
        let mut rest = faults.into_iter();
        rest.next().map(|first| Self {
            first,
            rest: rest.collect(),
        })
    }

    /// The faults, in the order of the document.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        core::iter::once(&self.first).chain(&self.rest)
    }
}

impl fmt::Display for Faults {
    /// One fault a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.rest
            .iter()
            .try_for_each(|fault| write!(f, "\n{fault}"))
    }
}

impl core::error::Error for Faults {}
