//! The consumers that load images, and what they do if they cannot.

use std::fmt;
use std::str::FromStr;

/// The program that pulls the image for a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consumer {
    /// The agent of an Istio release, `1.MINOR`, or `1.MINOR.PATCH` where one is given.
    Istio {
        /// The minor version, 30 in `1.30.2`.
        minor: u16,
        /// The patch version; `None` for the newest.
        patch: Option<u16>,
    },
    /// The controller of Envoy Gateway, which serves the module to Envoy.
    EnvoyGateway,
}

/// The newest release that was tried.
pub(crate) const NEWEST: Consumer = Consumer::Istio {
    minor: NEWEST_MINOR,
    patch: None,
};
const NEWEST_MINOR: u16 = 31;
const OLDEST_MINOR: u16 = 12;

impl FromStr for Consumer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "envoy-gateway" {
            return Ok(Self::EnvoyGateway);
        }
        let Some((minor, patch)) = istio_version(text) else {
            return Err(format!(
                "{text:?} is neither istio@1.MINOR nor envoy-gateway"
            ));
        };
        if minor < OLDEST_MINOR {
            return Err(format!(
                "Istio 1.{minor} pulls no images, Istio 1.{OLDEST_MINOR} is the first release that does"
            ));
        }
        // What a release does that nobody has tried is a guess.
        if minor > NEWEST_MINOR {
            return Err(format!(
                "Istio 1.{minor} is not known: the newest release that this program knows is 1.{NEWEST_MINOR}"
            ));
        }
        Ok(Self::Istio { minor, patch })
    }
}

/// The minor version and the patch of `istio@1.MINOR` or `istio@1.MINOR.PATCH`.
fn istio_version(text: &str) -> Option<(u16, Option<u16>)> {
    let version = text.strip_prefix("istio@1.")?;
    match version.split_once('.') {
        None => Some((version.parse().ok()?, None)),
        Some((minor, patch)) => Some((minor.parse().ok()?, Some(patch.parse().ok()?))),
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
    /// Whether the consumer logs in only if the realm of a challenge is a public URL (Istio
    /// `pkg/wasm/imagefetcher.go`, `validateRealmURL`, since 1.27.9, 1.28.5, 1.29.1 and 1.30).
    #[must_use]
    pub(crate) fn checks_realms(self) -> bool {
        let Self::Istio { minor, patch } = self else {
            return false;
        };
        // The fix was backported to patches of older releases.
        let first = match minor {
            ..=26 => return false,
            27 => 9,
            28 => 5,
            29 => 1,
            30.. => 0,
        };
        // Without a patch, the newest patch of the release counts.
        patch.is_none_or(|patch| patch >= first)
    }

    /// How the consumer gets to trust a registry whose certificate no public authority issued (Istio
    /// `pilot/cmd/pilot-agent/options/options.go`: the hosts of the variable are compared with the host and the
    /// port of the reference, and their certificates are not verified).
    #[must_use]
    pub(crate) fn trust_hint(self, registry: &str) -> String {
        match self {
            Self::Istio { .. } => format!(
                "use a certificate of a public authority, add the authority to the system's in the gateway's \
                 containers, or set WASM_INSECURE_REGISTRIES={registry} on them, which turns verification off"
            ),
            Self::EnvoyGateway => {
                "use a certificate of a public authority, or add the authority to the \
                                   system's in the container of Envoy Gateway"
                    .into()
            }
        }
    }

    /// What happens to a gateway that cannot load the image.
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
