//! Where a registry sends those who want to log in, and whether Istio's agent goes there.

use std::net::IpAddr;

use reqwest::Url;

/// Why Istio's agent would not follow a challenge, a value of `WWW-Authenticate` in a 401; `None` where
/// it would (Istio `pkg/wasm/imagefetcher.go`, `validateRealmURL`).
///
/// It looks at every `realm="…"`, of Basic challenges too, where a realm is just a name.
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
        return Some("is no URL");
    };
    if !["http", "https"].contains(&url.scheme()) {
        return Some("is no http or https URL");
    }
    let host = url.host_str().unwrap_or_default();
    if ["", "localhost", "metadata.google.internal"].contains(&host) {
        return Some("is not public");
    }
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    address
        .is_ok_and(is_private)
        .then_some("has an address that is not public")
}

/// Private, loopback or link-local, as Go's `net.IP` has it.
fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local(),
    }
}
