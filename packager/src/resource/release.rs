//! The release of Istio that a resource is written for.

use std::fmt;

use anyhow::{Result, bail};
use gateway::advice::Advice;

/// A release of Istio, `1.MINOR`: patches change no resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Release {
    minor: u16,
}

impl Release {
    /// The oldest release whose custom resource definitions the tests check. All releases from it on
    /// have `targetRefs`, and `match` with ports.
    pub(crate) const OLDEST: Self = Self { minor: 24 };
    /// The release to write for by default.
    pub(crate) const DEFAULT: Self = Self { minor: 30 };
    /// The last release in which a pod that cannot pull the module never becomes ready.
    pub(crate) const LAST_TO_WAIT: Self = Self { minor: 24 };
    /// The first release with `TrafficExtension`, and with an effect of `FAIL_RELOAD`.
    pub(crate) const TRAFFIC_EXTENSION: Self = Self { minor: 30 };

    /// Reads `1.30`, `1.30.3` or a consumer of an image, `istio@1.30`.
    ///
    /// # Errors
    /// The text is not a release, or the release is older than [`Self::OLDEST`].
    pub(crate) fn parse(text: &str) -> Result<Self> {
        // A patch release has the same resources, so the patch is read and dropped.
        let version = text.strip_prefix("istio@").unwrap_or(text);
        let mut parts = version.split('.').map(str::parse::<u16>);
        let release = match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(1)), Some(Ok(minor)), None | Some(Ok(_)), None) => Self { minor },
            _ => bail!(Advice::new(
                format!("{text:?} is not a release of Istio"),
                "write 1.30 or 1.30.3, for example"
            )),
        };
        // Older releases may ignore fields without an error.
        if release < Self::OLDEST {
            bail!(Advice::new(
                format!(
                    "Istio {release} is older than {}, the oldest supported release",
                    Self::OLDEST
                ),
                "`istioctl version` prints the release that runs"
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
