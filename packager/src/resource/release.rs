//! The release of Istio that a resource is for.

use std::fmt;

use anyhow::{Result, bail};
use gateway::advice::Advice;

/// A release of Istio, `1.MINOR`: patches change no resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    minor: u16,
}

impl Release {
    /// The oldest whose custom resource definitions the resources were tried against. All of them
    /// know `targetRefs`, and `match` with ports.
    pub(crate) const OLDEST: Self = Self { minor: 24 };
    /// The one to write for when none is named.
    pub(crate) const DEFAULT: Self = Self { minor: 30 };
    /// The last in which a pod whose module cannot be pulled never becomes ready.
    pub(crate) const LAST_TO_WAIT: Self = Self { minor: 24 };
    /// The first with `TrafficExtension`, and the first that acts on `FAIL_RELOAD`.
    pub(crate) const TRAFFIC_EXTENSION: Self = Self { minor: 30 };

    /// Reads `1.30` or `1.30.3`.
    ///
    /// # Errors
    /// The text is no release, or one before [`Self::OLDEST`].
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut parts = text.split('.').map(str::parse::<u16>);
        let release = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(1)), Some(Ok(minor)), None | Some(Ok(_)), None) => Self { minor },
            _ => bail!(Advice::new(
                format!("--istio {text:?} is not a release of Istio"),
                "give it as 1.30, or as 1.30.3"
            )),
        };
        if release < Self::OLDEST {
            bail!(Advice::new(
                format!(
                    "Istio {release} is older than {}, the oldest supported",
                    Self::OLDEST
                ),
                "`istioctl version` tells which release runs"
            ));
        }
        Ok(release)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.minor)
    }
}
