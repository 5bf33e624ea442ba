//! Which gateways load images, and what they do where they cannot.

use std::fmt;
use std::str::FromStr;

/// Who pulls the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumer {
    /// The agent of an Istio release, `1.MINOR`, or `1.MINOR.PATCH` where one is given.
    Istio {
        /// The minor version.
        minor: u16,
        /// The patch; none stands for the newest.
        patch: Option<u16>,
    },
    /// Envoy Gateway's controller.
    EnvoyGateway,
}

/// The newest that this knows.
pub(crate) const NEWEST: Consumer = Consumer::Istio {
    minor: 31,
    patch: None,
};
const OLDEST_MINOR: u16 = 12;

impl FromStr for Consumer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is neither istio@1.MINOR nor envoy-gateway");
        if text == "envoy-gateway" {
            return Ok(Self::EnvoyGateway);
        }
        let version = text.strip_prefix("istio@1.").ok_or_else(wrong)?;
        let (minor, patch) = match version.split_once('.') {
            None => (version, None),
            Some((minor, patch)) => (minor, Some(patch.parse().map_err(|_| wrong())?)),
        };
        let minor = minor.parse().map_err(|_| wrong())?;
        if minor < OLDEST_MINOR {
            return Err(format!(
                "Istio 1.{minor} pulls no images, 1.{OLDEST_MINOR} is the first"
            ));
        }
        Ok(Self::Istio { minor, patch })
    }
}

impl fmt::Display for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Istio { minor, patch: None } => write!(f, "istio@1.{minor}"),
            Self::Istio {
                minor,
                patch: Some(patch),
            } => write!(f, "istio@1.{minor}.{patch}"),
            Self::EnvoyGateway => f.write_str("envoy-gateway"),
        }
    }
}

impl Consumer {
    /// Whether it logs in only where the realm of a challenge is a public URL (Istio
    /// `pkg/wasm/imagefetcher.go`, `validateRealmURL`, since 1.27.9, 1.28.5, 1.29.1 and 1.30).
    #[must_use]
    pub(crate) fn checks_realms(self) -> bool {
        let Self::Istio { minor, patch } = self else {
            return false;
        };
        let first = match minor {
            ..=26 => return false,
            27 => 9,
            28 => 5,
            29 => 1,
            30.. => 0,
        };
        patch.is_none_or(|patch| patch >= first)
    }

    /// What a gateway does that cannot load its image.
    #[must_use]
    pub(crate) fn consequence(self) -> &'static str {
        match self {
            Self::Istio { minor: ..=24, .. } => "a new gateway pod would not become ready",
            Self::Istio { .. } => {
                "a gateway would answer 403 to every request with FAIL_CLOSE, and run without the \
                 filter with FAIL_OPEN"
            }
            Self::EnvoyGateway => "Envoy would not get the module",
        }
    }
}
