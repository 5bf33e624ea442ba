//! The meaning of the reasons that metrics, logs and access logs of the filter have, and what to do.

use rule::{Misdirection, Pass};
use serde::Serialize;

use crate::spelling;

/// A reason, with an explanation for each answer of the filter that can have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reason {
    pub(crate) name: &'static str,
    pub(crate) explanations: Vec<Explanation>,
}

/// What a reason means for one answer of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Explanation {
    pub(crate) answer: Answer,
    pub(crate) meaning: &'static str,
    /// What to do about it.
    pub(crate) action: &'static str,
}

/// The answer of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    /// The request is misdirected: 421, or a pass with `action: report`.
    Misdirected,
    Pass,
}

impl Answer {
    /// The answer as a sentence without its subject, the request.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Misdirected => "misdirected, answered 421; with action report passed and counted",
            Self::Pass => "passed",
        }
    }
}

/// The reason of a request that passes because of `action: report`, in `explain` and logs.
const REPORTED: &str = "reported";

/// The gauge of invalid configurations, whose name differs from the reason.
const CONFIG_INVALID: &str = "config_invalid";

/// The reasons for a pass that no metric counts.
const NOT_COUNTED: [Pass; 2] = [Pass::Equal, Pass::RouteFound];

/// Reads a reason: its name, a metric, or the details of a response code.
///
/// # Errors
/// The reason is unknown; the error has a correction or all names.
pub(crate) fn parse(text: &str) -> Result<Reason, String> {
    let (name, answer) = split(text);
    let name = if name == CONFIG_INVALID {
        Pass::InvalidConfig.name()
    } else {
        name.as_str()
    };
    let found: Vec<(&'static str, Explanation)> = all()
        .into_iter()
        .filter(|(known, explanation)| {
            *known == name && answer.is_none_or(|answer| explanation.answer == answer)
        })
        .collect();
    match found.first() {
        Some((name, _)) => Ok(Reason {
            name,
            explanations: found.iter().map(|(_, explanation)| *explanation).collect(),
        }),
        None => Err(unknown(name)),
    }
}

/// The name in a text, and the answer if the text is a metric: `sni_guard_enforced_NAME` in Prometheus,
/// `wasmcustom.sni_guard.enforced.NAME` in `/stats`, `sni_guard_NAME` in an access log.
fn split(text: &str) -> (String, Option<Answer>) {
    let text = text.trim().to_ascii_lowercase().replace('.', "_");
    let rest = text.strip_prefix("wasmcustom_").unwrap_or(&text);
    let rest = rest.strip_prefix("sni_guard_").unwrap_or(rest);
    for (prefix, answer) in [
        ("enforced_", Answer::Misdirected),
        ("reported_", Answer::Misdirected),
        ("passed_", Answer::Pass),
    ] {
        if let Some(name) = rest.strip_prefix(prefix) {
            return (name.to_owned(), Some(answer));
        }
    }
    (rest.to_owned(), None)
}

fn unknown(name: &str) -> String {
    let mut names: Vec<&str> = all().into_iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    match spelling::nearest(name, names.iter().copied()) {
        Some(nearest) => format!("unknown reason, did you mean {nearest}?"),
        None => format!("unknown reason, expected one of {}", names.join(", ")),
    }
}

/// Every explanation, with the name of its reason.
fn all() -> Vec<(&'static str, Explanation)> {
    let mut all = Vec::new();
    for misdirection in Misdirection::ALL {
        all.push((misdirection.name(), misdirected(misdirection)));
    }
    for pass in Pass::COUNTED.into_iter().chain(NOT_COUNTED) {
        all.push((pass.name(), passed(pass)));
    }
    all.push((
        REPORTED,
        Explanation {
            answer: Answer::Pass,
            meaning: "The request is misdirected, and the action for its host is report.",
            action: "Read the reason in the metric sni_guard_reported_REASON or in the log. Set action: \
                     enforce if the reasons are those that you expect.",
        },
    ));
    all
}

fn misdirected(reason: Misdirection) -> Explanation {
    let (meaning, action) = match reason {
        Misdirection::NoSni => (
            "The TLS connection has no SNI, and the configuration has missingSni: reject.",
            "Find the clients that send no SNI, or set missingSni: pass. On a listener without a TLS \
             inspector Envoy never knows the SNI: add the TLS inspector.",
        ),
        Misdirection::NotEqual => (
            "The authority is not the SNI, and the rule is exact.",
            "If both hosts are on one server, this 421 is not necessary: remove rule: exact, so that the \
             filter compares servers instead of names.",
        ),
        Misdirection::Unrouted => (
            "The gateway has no virtual host for the authority on this connection: the client reused a \
             connection for a host of another server, or requested a host that the gateway does not have.",
            "Nothing for clients that repeat the request: it succeeds on a new connection. packager check \
             names the servers that share a certificate. packager probe shows whether the host is served at \
             all.",
        ),
        Misdirection::UnlistedSni => (
            "The authority belongs to a listed server, the SNI belongs to none, and the configuration has \
             unlistedSni: reject.",
            "If a CDN or a load balancer sends this SNI, list it in trustedSni. If the table of servers is \
             old, write it again with packager manifest --from PATH.",
        ),
        Misdirection::OtherServer => (
            "The authority belongs to another listed server than the SNI: the client reused a connection \
             because the certificate covers both hosts.",
            "Nothing for clients that repeat the request: it succeeds on a new connection. If both hosts are \
             on one server now, the table is old: packager check reports it as SG401. packager merge plans \
             one server for both hosts, so that no request is misdirected.",
        ),
    };
    Explanation {
        answer: Answer::Misdirected,
        meaning,
        action,
    }
}

fn passed(reason: Pass) -> Explanation {
    let (meaning, action) = match reason {
        Pass::InvalidConfig => (
            "The configuration of the filter is invalid, so every request passes.",
            "Correct the configuration. Envoy's log has the faults at error level, and packager explain \
             --config FILE --servers prints the same faults.",
        ),
        Pass::NoSni => (
            "The connection has no SNI to compare with: it is plain text, or the client sent none.",
            "Nothing, unless all clients are expected to send an SNI: then set missingSni: reject.",
        ),
        Pass::Equal => (
            "The authority is the SNI: the request is on the connection of its own host. It is not counted.",
            "Nothing. If the client gets a 421 here, it comes from a backend or from another filter.",
        ),
        Pass::TrustedSni => (
            "trustedSni lists the SNI, so its connections may carry any authority.",
            "Nothing, if this SNI belongs to a CDN or a load balancer of yours.",
        ),
        Pass::Off => (
            "The action for the host is off.",
            "Set the action of the host to enforce, if it is to be protected.",
        ),
        Pass::RouteFound | Pass::Routed => (
            "The gateway has a route or a virtual host for the authority on this connection, and the table \
             of servers does not list both names.",
            "Nothing, if the response is right. If the wrong backend answers, the table lacks overlapping \
             servers: packager check reports it as SG401.",
        ),
        Pass::SameServer => (
            "The SNI and the authority belong to one listed server: the client reuses the connection \
             legitimately.",
            "Nothing.",
        ),
        Pass::InternalRedirect => (
            "Envoy followed a redirect of a backend to another host. The client did not request this host.",
            "Nothing.",
        ),
        Pass::Connect => (
            "The request is CONNECT, whose authority is the destination of a tunnel.",
            "Nothing.",
        ),
        Pass::Protocol => (
            "The request is misdirected, but protocols does not list its version of HTTP. By default these \
             are HTTP/1.0 and HTTP/1.1, whose clients do not follow 421.",
            "Find out which proxy sends requests for several hosts on one connection. With protocols: [h1, \
             h2, h3] the filter answers 421 to it too.",
        ),
        Pass::Grpc => (
            "The request is misdirected, but it is a gRPC call, whose clients do not repeat it after 421.",
            "Give the client one channel for each host. With grpc: reject the call fails with UNAVAILABLE.",
        ),
    };
    Explanation {
        answer: Answer::Pass,
        meaning,
        action,
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, all, parse};

    #[track_caller]
    fn check(text: &str, name: &str, answers: &[Answer]) {
        let reason = parse(text).unwrap();
        let found: Vec<Answer> = reason
            .explanations
            .iter()
            .map(|found| found.answer)
            .collect();
        assert_eq!((reason.name, found.as_slice()), (name, answers), "{text}");
    }

    #[test]
    fn every_form_of_a_reason_is_read() {
        let misdirected = &[Answer::Misdirected];
        for text in [
            "other_server",
            "OTHER_SERVER",
            "sni_guard_other_server",
            "sni_guard_enforced_other_server",
            "sni_guard_reported_other_server",
            "wasmcustom.sni_guard.enforced.other_server",
        ] {
            check(text, "other_server", misdirected);
        }
        check("reported", "reported", &[Answer::Pass]);
        check(
            "sni_guard_config_invalid",
            "invalid_config",
            &[Answer::Pass],
        );
    }

    #[test]
    fn a_metric_selects_one_meaning() {
        check("no_sni", "no_sni", &[Answer::Misdirected, Answer::Pass]);
        check("sni_guard_passed_no_sni", "no_sni", &[Answer::Pass]);
        check(
            "sni_guard.enforced.no_sni",
            "no_sni",
            &[Answer::Misdirected],
        );
        // No request passes for this reason.
        assert!(parse("sni_guard_passed_other_server").is_err());
    }

    #[test]
    fn an_unknown_reason_is_corrected() {
        let problem = parse("other_sever").unwrap_err();
        assert_eq!(problem, "unknown reason, did you mean other_server?");
        let problem = parse("").unwrap_err();
        assert!(problem.starts_with("unknown reason, expected one of connect, equal, grpc"));
        assert!(parse("via_upstream").is_err());
    }

    /// The page for operators has the same reasons.
    #[test]
    fn the_page_about_metrics_has_every_reason() {
        let page = include_str!("../../docs/observability.md");
        for (name, _) in all() {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
