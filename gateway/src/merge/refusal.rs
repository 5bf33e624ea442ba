//! Why servers are not merged.

use serde::Serialize;

use crate::advice::Advice;

/// Servers that are left as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Why, in a word.
    pub reason: Reason,
    /// The pods, `namespace/name`.
    pub workload: String,
    /// The listener's name in Envoy, or its port where there is none.
    pub listener: String,
    /// The servers.
    pub servers: Vec<String>,
    /// Why, in words.
    pub message: String,
    /// What to do instead.
    pub hint: String,
}

/// Why servers are not merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A server is dropped already.
    Dropped,
    /// Envoy refuses the listener already.
    Rejected,
    /// They are more than anybody would carry out a plan for.
    TooMany,
    /// A listener of the Gateway API has one hostname.
    GatewayApi,
    /// A program writes one of the resources.
    Generated,
    /// Nobody knows which Gateway is the oldest.
    Age,
    /// The Gateways are for different pods.
    Pods,
    /// They name different ports.
    Port,
    /// They name different addresses.
    Bind,
    /// One does not terminate HTTPS.
    NotHttps,
    /// Their TLS settings differ.
    TlsSettings,
    /// It is not known which hosts a certificate is good for.
    CertificateUnknown,
    /// No certificate is good for all hosts.
    Certificate,
    /// An EnvoyFilter names one of the Gateways or what is made of it.
    EnvoyFilter,
    /// Routes of one would apply to hosts of another.
    RoutesMix,
    /// Routes would apply that did not.
    RoutesStart,
    /// A host would be answered otherwise at some step.
    Answer,
}

/// What is found before it is known of which servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) reason: Reason,
    pub(super) advice: Advice,
}

/// What helps where servers stay apart.
pub(super) const GUARD: &str =
    "have the filter answer 421 instead: packager manifest --image IMAGE --from PATH";

impl Obstacle {
    pub(super) fn new(reason: Reason, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            reason,
            advice: Advice::new(message, hint),
        }
    }

    pub(super) fn on(self, workload: String, listener: String, servers: Vec<String>) -> Refusal {
        let Advice { message, hint } = self.advice;
        Refusal {
            reason: self.reason,
            workload,
            listener,
            servers,
            message,
            hint,
        }
    }
}
