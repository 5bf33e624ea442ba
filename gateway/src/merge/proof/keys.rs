//! Keys of host patterns: the host itself, `.example.com` for `*.example.com`, and the empty text for `*`. The
//! keys of all patterns that cover a host are parts of the host.

use std::sync::Arc;

use rule::HostPattern;

use crate::attached::Proxy;
use crate::chains::{ClaimedNames, chains};
use crate::resources::{Labels, pattern};
use crate::routes::Binding;
use crate::server::Server;

/// The keys of the server names that an HTTPS server has on each listener.
pub(super) fn keys_of_server(server: &Server) -> Vec<String> {
    // The server names of an HTTPS server depend only on its hosts.
    let labels = Labels::default();
    let proxy = Proxy {
        namespace: "",
        labels: &labels,
    };
    let server = Arc::new(server.clone());
    chains(
        &server,
        server.port,
        &[],
        proxy,
        &mut ClaimedNames::default(),
    )
    .iter()
    .flat_map(|chain| &chain.server_names)
    .map(key)
    .collect()
}

/// The name of the route table of an HTTPS server, which is the name of its filter chain too.
pub(super) fn route_table_name(server: &Server) -> String {
    server.chain_name("https")
}

/// Whether a key is a host, not a wildcard.
pub(super) fn is_host(key: &str) -> bool {
    !key.is_empty() && !key.starts_with('.')
}

/// Whether a host is below a key: it is the host, or a wildcard that covers it.
pub(super) fn is_below(host: &str, key: &str) -> bool {
    keys_covering(host).any(|covering| covering == key)
}

/// The keys of the hosts of routes.
pub(super) fn keys_of_routes(binding: &Binding) -> Vec<String> {
    binding
        .hosts
        .iter()
        .filter_map(|host| pattern(host))
        .map(|pattern| key(&pattern))
        .collect()
}

/// The key of a pattern.
pub(super) fn key(pattern: &HostPattern) -> String {
    let text = pattern.to_string();
    match text.strip_prefix('*') {
        Some(suffix) => suffix.to_owned(),
        None => text,
    }
}

/// istiod compares hosts letter by letter, and Envoy without case: the key makes both equal.
pub(super) fn claim_key(host: &str) -> String {
    host.to_ascii_lowercase()
}

/// The keys of all patterns that cover a host, the most specific first.
pub(super) fn keys_covering(host: &str) -> impl Iterator<Item = &str> {
    std::iter::once(host)
        .chain(
            host.match_indices('.')
                .filter_map(|(dot, _)| host.get(dot..)),
        )
        .chain(std::iter::once(""))
}
