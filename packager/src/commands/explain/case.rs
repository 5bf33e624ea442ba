//! The cases of `packager explain`: requests, from the flags or from a file.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use rule::{Facts, Gateway, Protocol, Route};
use serde::Deserialize;

#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum CaseProtocol {
    H1,
    #[default]
    H2,
    H3,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum CaseRoute {
    /// A virtual host matched
    Yes,
    /// No virtual host matched
    #[default]
    No,
    /// Only Istio's placeholder for an empty route table matched
    Blackhole,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum CaseGateway {
    /// An Envoy that istiod configured
    #[default]
    Istio,
    /// Any other Envoy
    Other,
}

/// One request on one TLS connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// The server name of the connection; `None` for a connection without one.
    pub(super) sni: Option<String>,
    pub(super) authority: String,
    #[serde(default)]
    pub(super) protocol: CaseProtocol,
    #[serde(default)]
    pub(super) grpc: bool,
    #[serde(default = "get")]
    pub(super) method: String,
    #[serde(default)]
    pub(super) routed: CaseRoute,
    #[serde(default)]
    pub(super) gateway: CaseGateway,
}

fn get() -> String {
    "GET".into()
}

/// The cases of a text, one JSON object on each line. Empty lines are skipped. `path` is the name of
/// the text in errors.
pub(super) fn parse_cases<'t>(
    text: &'t str,
    path: &'t Path,
) -> impl Iterator<Item = Result<Case>> + 't {
    (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("reading case in line {number} of {}", path.display()))
        })
}

impl Case {
    pub(super) fn gateway(&self) -> Gateway {
        match self.gateway {
            CaseGateway::Istio => Gateway::Istio,
            CaseGateway::Other => Gateway::Other,
        }
    }

    /// What the case gives as the result of routing.
    pub(super) fn route(&self) -> Route {
        match self.routed {
            CaseRoute::Yes => Route::Matched,
            CaseRoute::No => Route::Unmatched,
            CaseRoute::Blackhole => Route::Blackhole,
        }
    }

    /// The answers to everything that the rule may ask about the request.
    pub(super) fn facts(&self, route: Route) -> Facts<'_> {
        let sni = self.sni.as_deref().unwrap_or_default();
        Facts {
            route,
            // A case has no path, so a virtual host counts as a route.
            has_route: route == Route::Matched,
            // The method matters only for CONNECT.
            connect: self.method == "CONNECT",
            protocol: Some(match self.protocol {
                CaseProtocol::H1 => Protocol::Http1,
                CaseProtocol::H2 => Protocol::Http2,
                CaseProtocol::H3 => Protocol::Http3,
            }),
            grpc: self.grpc,
            ..Facts::new(sni.as_bytes(), self.authority.as_bytes())
        }
    }
}
