//! The realm to which a registry sends clients for a token, and whether Istio's agent uses it.

use std::net::IpAddr;

use reqwest::Url;

/// Why Istio's agent would ignore a challenge, which is a value of `WWW-Authenticate` in a 401; `None` if
/// the agent would log in (Istio `pkg/wasm/imagefetcher.go`, `validateRealmURL`).
///
/// The agent checks every `realm="…"`, even in a Basic challenge, where a realm is only a name.
pub(crate) fn unusable_realm(challenge: &str) -> Option<String> {
    let mut rest = challenge;
    while let Some((_, after)) = rest.split_once("realm=\"") {
        let (realm, after) = after.split_once('"')?;
        if let Some(reason) = unusable(realm) {
            return Some(format!("the realm {realm:?} {reason}"));
        }
        rest = after;
    }
    None
}

fn unusable(realm: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(realm) else {
        return Some("is not a URL");
    };
    if !["http", "https"].contains(&url.scheme()) {
        return Some("is not an http or https URL");
    }

    // The agent must not send credentials to services of its own network.
    let host = url.host_str().unwrap_or_default();
    if ["", "localhost", "metadata.google.internal"].contains(&host) {
        return Some("is not public");
    }
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) if is_private(address) => Some("has an address that is not public"),
        Ok(_) | Err(_) => None,
    }
}

/// Whether an address is private, loopback or link-local, as Go's `net.IP` defines it.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}
