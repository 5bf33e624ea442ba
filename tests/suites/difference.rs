//! The rule is safe only if it reads the host of an authority as Envoy does. Thousands of authorities
//! that no list would have are sent to an Envoy, which answers with the virtual host that it picked,
//! and the rule picks one of the same patterns.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::net::SocketAddr;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use rule::host::HostTable;
use rule::{Host, HostPattern};
use serde_json::Value;
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::client::Response;
use tests::envoy::{self, Chain, Envoy, Launch, Listener, Transport, VirtualHost};
use tests::raw::{RawConnection, Version};
use tests::tools::envoy_versions;

/// The domains of the virtual hosts.
const DOMAINS: [&str; 7] = [
    "example.com",
    "b.example.com",
    "a.b.example.com",
    "*.example.com",
    "*.b.example.com",
    "*.x-1",
    "*",
];
/// How many authorities are sent to each version over each protocol.
const AUTHORITIES: usize = 4_000;
/// How many of each oddity have to reach the routes, and how many of all.
const EACH_ODDITY: usize = 150;
const ALL_ODDITIES: usize = 2_000;

#[test]
fn the_rule_picks_the_virtual_host_that_envoy_picks() {
    let listener = Listener {
        name: "plain".into(),
        transport: Transport::Plaintext,
        chains: vec![Chain {
            server_names: vec!["*".into()],
            virtual_hosts: DOMAINS.map(VirtualHost::of).to_vec(),
        }],
        filters: vec![],
    };
    let authorities = authorities();
    for version in envoy_versions() {
        let launch = Launch {
            version: &version,
            ..Launch::default()
        };
        let envoy = Envoy::start_with_as(&launch, bootstrap(&listener)).unwrap();
        let server = envoy.listener("plain").unwrap();
        for protocol in [Version::Http1, Version::Http2] {
            let what = format!("Envoy {version}, {protocol:?}");
            check_all(&what, server, protocol, &authorities);
        }
    }
}

/// Envoy's own configuration, but for [`keep_connections`].
fn bootstrap(listener: &Listener) -> Value {
    let folder = TempDir::new().unwrap();
    let certificate = Certificate::generate(folder.path(), &["example.com"]).unwrap();
    let listeners = std::slice::from_ref(listener);
    let mut bootstrap = envoy::bootstrap(listeners, &certificate, Path::new("/dev/null"));
    keep_connections(&mut bootstrap);
    bootstrap
}

/// Changes the default filter chains of a bootstrap, so that a request which the codec refuses ends its stream.
/// Otherwise it ends the connection, after a second.
pub(super) fn keep_connections(bootstrap: &mut Value) {
    let listeners = bootstrap.pointer_mut("/static_resources/listeners");
    for listener in listeners.and_then(Value::as_array_mut).unwrap() {
        let options = listener
            .pointer_mut("/default_filter_chain/filters/0/typed_config/http2_protocol_options");
        let options = options.and_then(Value::as_object_mut).unwrap();
        options.insert(
            "override_stream_error_on_invalid_http_message".into(),
            true.into(),
        );
    }
}

/// Compares what is answered, and checks that enough of what is odd was.
#[track_caller]
fn check_all(what: &str, server: SocketAddr, protocol: Version, authorities: &[Vec<u8>]) {
    let table = table();
    let mut client = Client::new(server, protocol);
    let mut compared: Vec<&[u8]> = Vec::new();
    for authority in authorities {
        let Some(found) = client.virtual_host(authority) else {
            continue;
        };
        let expected = table.best(Host::from_authority(authority));
        let shown = authority.escape_ascii();
        assert_eq!(Some(&found.as_str()), expected, "{what}: {shown}");
        compared.push(authority);
    }
    // What the codec refuses proves nothing, so enough must have passed it.
    for (oddity, is_odd) in ODDITIES {
        let count = compared
            .iter()
            .filter(|authority| is_odd(authority))
            .count();
        assert!(count >= EACH_ODDITY, "{what}: {count} with {oddity}");
    }
    let odd = compared
        .iter()
        .filter(|authority| ODDITIES.iter().any(|(_, is_odd)| is_odd(authority)))
        .count();
    assert!(odd >= ALL_ODDITIES, "{what}: {odd} of {}", compared.len());
}

fn table() -> HostTable<&'static str> {
    let mut table = HostTable::default();
    for domain in DOMAINS {
        table.insert(HostPattern::try_from(domain).unwrap(), domain);
    }
    table
}

/// A client that goes on with a new connection after each that was refused something.
struct Client {
    server: SocketAddr,
    protocol: Version,
    connection: Option<RawConnection>,
}

impl Client {
    fn new(server: SocketAddr, protocol: Version) -> Self {
        Self {
            server,
            protocol,
            connection: None,
        }
    }

    /// The name of the virtual host that answers; `None` where the codec refused the request.
    fn virtual_host(&mut self, authority: &[u8]) -> Option<String> {
        let response = self.get(authority)?;
        if response.status != 200 {
            assert_eq!(response.status, 400, "{}", authority.escape_ascii());
            self.connection = None;
            return None;
        }
        Some(String::from_utf8(response.body).unwrap())
    }

    fn get(&mut self, authority: &[u8]) -> Option<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => RawConnection::open_plaintext(self.server, self.protocol).unwrap(),
        };
        let response = match self.protocol {
            Version::Http1 => connection.get_kept_h1(authority),
            Version::Http2 => connection.get_h2(authority, &[]),
        };
        let shown = authority.escape_ascii();
        let response = response.unwrap_or_else(|error| panic!("{shown}: {error}"))?;
        self.connection = Some(connection);
        Some(response)
    }
}

type Oddity = (&'static str, fn(&[u8]) -> bool);

/// What no list of hosts has, and clients may send.
const ODDITIES: [Oddity; 5] = [
    ("an odd port", |authority| {
        let mut parts = authority.rsplitn(2, |byte| *byte == b':');
        let port = parts.next().unwrap_or_default();
        parts.next().is_some() && !port.iter().all(u8::is_ascii_digit)
    }),
    ("a comma", |authority| authority.contains(&b',')),
    ("a bracket", |authority| {
        authority.contains(&b'[') || authority.contains(&b']')
    }),
    ("several colons", |authority| {
        let is_colon = |byte: &u8| *byte == b':';
        authority.iter().position(is_colon) != authority.iter().rposition(is_colon)
    }),
    ("a leading dot", |authority| authority.starts_with(b".")),
];

/// The same ones in every run: proptest's fixed seed makes them.
fn authorities() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let strategy = authority();
    (0..AUTHORITIES)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .collect()
}

/// A blank at either end is not part of an HTTP/1.1 header, and a control character ends one.
fn octet() -> impl Strategy<Value = u8> {
    prop_oneof![9 => 0x21..=0x7e_u8, 1 => 0x7f..=0xff_u8]
}

pub(super) fn authority() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => vec(octet(), 0..20),
        8 => odd_name(),
        3 => (odd_name(), any::<prop::sample::Index>(), octet()).prop_map(|(mut name, at, octet)| {
            name.insert(at.index(name.len() + 1), octet);
            name
        }),
    ]
}

/// Labels, a suffix and a port that are each odd now and then.
fn odd_name() -> impl Strategy<Value = Vec<u8>> {
    let labels = vec![
        "a.",
        "b.",
        "B.",
        "c.b.",
        ".",
        "..",
        "a,b.",
        "a,",
        "u@b.",
        "%62.",
        "*.",
        "[b.",
        "b].",
        "[::1]",
        "x:y.",
        "b:",
        "_.",
        "!$&'()+;=~.",
    ];
    let suffixes = vec![
        "example.com",
        "b.example.com",
        "B.Example.COM",
        "a.b.example.com",
        "example.com.",
        "b.example.com..",
        "x-1",
        "b,example.com",
        "example.org",
        "[2001:db8::1]",
        "",
    ];
    let ports = vec![
        "", "", ":443", ":", ":x", ":443x", ":-1", ":%", ":1:2", "::", ":]", ":4]", ":a.b", ":,",
        "]:443", ":443,a:1", ":@",
    ];
    (
        vec(prop::sample::select(labels), 0..3),
        prop::sample::select(suffixes),
        prop::sample::select(ports),
    )
        .prop_map(|(labels, suffix, port)| [labels.concat().as_str(), suffix, port].concat().into())
}
