//! The AuthorizationPolicy of `packager manifest`, on a gateway where a host with mutual TLS has its
//! routes on other servers too.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::client::{self, Connection, GET, Transport, block_on};
use tests::istio::{B, Pod, Stack, wait_for};
use tests::process::{free_ports, packager_program};
use tests::raw::{RawConnection, Version};
use tests::secrets::Pair;
use tests::transcript::{self, Shell};

use super::merge::path;

/// A gateway as `tests/istio/mutual.yaml` describes it.
struct Mutual {
    stack: Arc<Stack>,
    namespace: &'static str,
    /// The label `istio` of its pods.
    label: &'static str,
    tls: SocketAddr,
    plain: SocketAddr,
    client: Certificate,
    /// The server's certificate, and that of the clients' issuer.
    files: (Certificate, PathBuf),
    _pod: Pod,
    _folders: [TempDir; 2],
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    /// With routes: the body says whose.
    Served(String),
    /// By another status than 200.
    Refused(u16),
    /// By a status of gRPC, with its message.
    Grpc(String, String),
    /// The connection ended without an answer.
    Closed,
}

/// A request without a client certificate.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    version: Version,
    sni: Option<&'static str>,
    authority: &'static str,
    is_grpc: bool,
}

/// Server names that do not lead to the server with mutual TLS.
const SERVER_NAMES: [Option<&str>; 4] = [
    Some("x.example.com"),
    Some("other.test"),
    // A name with a dot at its end is another one to Envoy.
    Some("b.example.com."),
    None,
];

/// Authorities that Envoy finds the routes of b for.
const AUTHORITIES: [&str; 9] = [
    "b.example.com",
    "b.example.com:443",
    "b.example.com:",
    "b.example.com:x",
    "b.example.com:443x",
    "b.example.com:-1",
    "b.example.com:%",
    "B.Example.COM",
    "B.EXAMPLE.COM:X",
];

/// Authorities with a trailing dot, which find no routes of b, or those of a wildcard.
const DOTTED: [&str; 3] = ["b.example.com.", "b.example.com.:443", "B.example.com.:x"];

fn attempts(authorities: &[&'static str]) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    for sni in SERVER_NAMES {
        for authority in authorities {
            for (version, is_grpc) in [
                (Version::Http1, false),
                (Version::Http2, false),
                (Version::Http2, true),
            ] {
                attempts.push(Attempt {
                    version,
                    sni,
                    authority,
                    is_grpc,
                });
            }
        }
    }
    attempts
}

impl Mutual {
    fn open(stack: Arc<Stack>, namespace: &'static str, label: &'static str) -> Self {
        let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
        let server = Certificate::generate(folders[0].path(), &[B]).unwrap();
        let (client, clients) = Certificate::issue(folders[1].path(), &["client.test"]).unwrap();
        let [tls, plain] = free_ports(2).unwrap()[..] else {
            panic!("too few ports")
        };
        // The API server stands for a backend that terminates TLS itself.
        let kubeconfig = fs::read_to_string(stack.kubectl().kubeconfig()).unwrap();
        let (_, rest) = kubeconfig.split_once("https://127.0.0.1:").unwrap();
        let backend = rest.split_once('"').unwrap().0;
        let resources = include_str!("../../istio/mutual.yaml")
            .replace("$PORT", &tls.to_string())
            .replace("$PLAIN", &plain.to_string())
            .replace("$BACKEND", backend);
        let files = (server, clients);
        apply(&stack, &files, namespace, label, &resources);
        let labels = BTreeMap::from([("istio".to_owned(), label.to_owned())]);
        let pod = Pod::start_labelled(&stack, namespace, "gateway-0", &labels).unwrap();
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let gateway = Self {
            stack,
            namespace,
            label,
            tls: address(tls),
            plain: address(plain),
            client,
            files,
            _pod: pod,
            _folders: folders,
        };
        wait_for("the gateway", &others(), || gateway.others_seen()).unwrap();
        gateway
    }

    /// What `packager manifest` prints for this gateway, and its warnings.
    fn policy(&self) -> (String, String) {
        let kinds = "gateways.networking.istio.io,virtualservices,services,pods";
        let resources = self
            .stack
            .kubectl()
            .run(&["get", kinds, "-n", self.namespace, "-o", "json"])
            .unwrap();
        let selector = format!("istio={}", self.label);
        let arguments = [
            "manifest",
            "--kind",
            "AuthorizationPolicy",
            "--namespace",
            self.namespace,
            "--selector",
            &selector,
            "--from",
            "-",
        ];
        let run = packager_program(&arguments, &[], &resources).unwrap();
        assert_eq!(run.status, 0, "{}", run.talk);
        (run.out, run.talk)
    }

    /// The severity of what `packager check` reports about client certificates.
    fn severity(&self) -> String {
        let kinds =
            "gateways.networking.istio.io,virtualservices,services,pods,authorizationpolicies";
        let resources = self
            .stack
            .kubectl()
            .run(&["get", kinds, "-n", self.namespace, "-o", "json"])
            .unwrap();
        // The certificates of this gateway are files, which are not in the input.
        let mut resources: Value = serde_json::from_str(&resources).unwrap();
        for item in resources["items"].as_array_mut().unwrap() {
            for server in item["spec"]["servers"].as_array_mut().into_iter().flatten() {
                if server["tls"]["serverCertificate"].is_string() {
                    server["tls"] = json!({ "mode": server["tls"]["mode"], "credentialName": "w" });
                }
            }
        }
        let pair = Pair::generate(&["*.example.com"], 2100).unwrap();
        let secret = pair.secret(&format!("{}/w", self.namespace)).unwrap();
        let input = format!("{resources}\n---\n{secret}");
        let run = packager_program(&["check", "-", "--output", "json"], &[], &input).unwrap();
        let report: Value = serde_json::from_str(&run.out).unwrap();
        let severities: BTreeSet<&str> = report["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["code"] == "SG103")
            .map(|finding| finding["severity"].as_str().unwrap())
            .collect();
        severities.into_iter().collect::<Vec<_>>().join(" ")
    }

    fn ask(&self, attempt: Attempt) -> Seen {
        let Attempt {
            version,
            sni,
            authority,
            is_grpc,
        } = attempt;
        let headers: &[_] = if is_grpc {
            &[("content-type", "application/grpc"), ("te", "trailers")]
        } else {
            &[]
        };
        let mut connection = RawConnection::open(self.tls, sni, version, None).unwrap();
        if version == Version::Http1 {
            return match connection.get_h1(authority.as_bytes(), headers) {
                // The body is not read. The same over HTTP/2 shows whose routes these are.
                Ok(Some(200)) => Seen::Served("b".into()),
                Ok(Some(status)) => Seen::Refused(status),
                Ok(None) | Err(_) => Seen::Closed,
            };
        }
        match connection.get_h2(authority.as_bytes(), headers) {
            Ok(Some(response)) if is_grpc => Seen::Grpc(
                response.header("grpc-status").to_owned(),
                response.header("grpc-message").to_owned(),
            ),
            Ok(Some(response)) => seen(&response),
            Ok(None) | Err(_) => Seen::Closed,
        }
    }

    fn get(&self, transport: Transport<'_>, authority: &str) -> Seen {
        let answer = block_on(async {
            Connection::h2(self.tls, transport)
                .await?
                .send(&GET, authority)
                .await
        });
        answer.map_or(Seen::Closed, |response| seen(&response))
    }

    /// The answer over HTTP/1.1, with its body.
    fn body_by_http1(&self, authority: &str) -> Seen {
        let answer = block_on(async {
            Connection::h1(self.tls, Transport::Tls(Some("x.example.com")))
                .await?
                .send(&GET, authority)
                .await
        });
        answer.map_or(Seen::Closed, |response| seen(&response))
    }

    /// What other requests are answered: on the own connections of hosts, in plain text, passed through.
    fn others_seen(&self) -> Vec<Seen> {
        let mutual = Transport::MutualTls(Some(B), &self.client);
        vec![
            self.get(Transport::Tls(Some("x.example.com")), "x.example.com"),
            self.get(Transport::Tls(Some("x.example.com")), "y.example.com:443"),
            self.get(mutual, B),
            self.get(mutual, "B.example.com:443"),
            self.get(Transport::Tls(Some(B)), B),
            self.redirect(),
            self.passed_through(),
        ]
    }

    /// What b is answered in plain text.
    fn redirect(&self) -> Seen {
        let answer = block_on(async {
            Connection::h1(self.plain, Transport::Plaintext)
                .await?
                .send(&GET, B)
                .await
        });
        answer.map_or(Seen::Closed, |response| seen(&response))
    }

    /// What the backend behind a server that does not terminate TLS answers.
    fn passed_through(&self) -> Seen {
        let answer = block_on(async {
            Connection::h2(self.tls, Transport::Tls(Some("p.example.com")))
                .await?
                .send_path(&GET, "p.example.com", "/readyz")
                .await
        });
        answer.map_or(Seen::Closed, |response| seen(&response))
    }
}

/// Applies resources for the pods of a label.
fn apply(
    stack: &Stack,
    (server, clients): &(Certificate, PathBuf),
    namespace: &str,
    label: &str,
    resources: &str,
) {
    let filled = resources
        .replace("istio: $NAME", &format!("istio: {label}"))
        .replace("$NAME", namespace)
        .replace("$CERTIFICATE", server.certificate.to_str().unwrap())
        .replace("$KEY", server.key.to_str().unwrap())
        .replace("$CLIENTS", clients.to_str().unwrap());
    stack.kubectl().apply(&filled).unwrap();
}

/// What [`Mutual::others_seen`] has to be, with the policy and without.
fn others() -> Vec<Seen> {
    let [w, b] = ["w", "b"].map(|body| Seen::Served(body.into()));
    vec![
        w.clone(),
        w,
        b.clone(),
        b,
        Seen::Closed,
        Seen::Refused(301),
        Seen::Served("ok".into()),
    ]
}

fn seen(response: &client::Response) -> Seen {
    if response.status == 200 {
        Seen::Served(String::from_utf8_lossy(&response.body).into_owned())
    } else {
        Seen::Refused(response.status)
    }
}

#[test]
fn the_policy_keeps_clients_without_a_certificate_out() {
    let gateway = Mutual::open(Stack::shared().unwrap(), "mutual", "mutual");
    let b = Seen::Served("b".into());
    let (reaching, dotted) = (attempts(&AUTHORITIES), attempts(&DOTTED));
    // Envoy answers gRPC by the status of gRPC for the route's 200, and the route's body as its message.
    let b_by_grpc = Seen::Grpc("2".into(), "b".into());
    for attempt in &reaching {
        let expected = if attempt.is_grpc { &b_by_grpc } else { &b };
        let found = gateway.ask(*attempt);
        assert_eq!(found, *expected, "without the policy: {attempt:?}");
    }
    for attempt in &dotted {
        let found = gateway.ask(*attempt);
        let is_reached = found == b || found == b_by_grpc;
        assert!(!is_reached, "without the policy: {attempt:?}");
    }

    for authority in AUTHORITIES {
        assert_eq!(gateway.body_by_http1(authority), b, "{authority}");
    }

    let (policy, warnings) = gateway.policy();
    assert_eq!(warnings, "");
    gateway.stack.kubectl().apply(&policy).unwrap();
    let first = *reaching.first().unwrap();
    wait_for("the policy", &Seen::Refused(403), || gateway.ask(first)).unwrap();
    for attempt in reaching.iter().chain(&dotted) {
        let expected = if attempt.is_grpc {
            Seen::Grpc("7".into(), "RBAC: access denied".into())
        } else {
            Seen::Refused(403)
        };
        assert_eq!(gateway.ask(*attempt), expected, "{attempt:?}");
    }
    // Its own host, the hosts of others, the redirect, and what is passed through.
    assert_eq!(gateway.others_seen(), others());

    // The server names of other connections than HTTP have to be among those that are not denied.
    let narrow = policy.replace("      - p.example.com\n", "");
    assert_ne!(narrow, policy);
    gateway.stack.kubectl().apply(&narrow).unwrap();
    let passed_through = || gateway.passed_through();
    wait_for("a policy without them", &Seen::Closed, passed_through).unwrap();
    gateway.stack.kubectl().apply(&policy).unwrap();
    let answer = Seen::Served("ok".into());
    wait_for("the policy again", &answer, passed_through).unwrap();

    // What is in the cluster is what would be written.
    let written: Value = serde_saphyr::from_str(&policy).unwrap();
    let resource = ["authorizationpolicy", "sni-guard", "-o", "json"];
    let arguments = [&["get", "-n", gateway.namespace], resource.as_slice()].concat();
    let found = gateway.stack.kubectl().run(&arguments).unwrap();
    let found: Value = serde_json::from_str(&found).unwrap();
    assert_eq!(found.get("spec"), written.get("spec"));
    println!(
        "{} requests reached b without the policy, {} were refused with it",
        reaching.len(),
        reaching.len() + dotted.len()
    );
}

/// A server name, an authority, and what is answered without the policy and with it; without a
/// certificate.
const BELOW_A_WILDCARD: [(&str, &str, Option<&str>, Option<&str>); 8] = [
    ("x.org", "y.m.example.org", Some("m"), None),
    ("x.org", "Y.M.example.ORG", Some("m"), None),
    // The owner's pattern covers this server name, which leads elsewhere.
    ("c.m.example.org", "y.m.example.org", Some("m"), None),
    // What a pattern with one wildcard cannot say.
    ("x.org", "y.m.example.org:443", Some("m"), Some("m")),
    // Hosts with a server of their own that demands nothing.
    ("c.m.example.org", "c.m.example.org", Some("m"), Some("m")),
    ("x.org", "c.m.example.org", Some("m"), Some("m")),
    ("s.m.example.org", "s.m.example.org", Some("s"), Some("s")),
    ("y.m.example.org", "y.m.example.org", None, None),
];

#[test]
fn a_wildcard_is_denied_but_for_ports() {
    let gateway = Mutual::open(
        Stack::shared().unwrap(),
        "mutual-wildcard",
        "mutual-wildcard",
    );
    let resources = include_str!("../../istio/mutual-wildcard.yaml");
    let (namespace, label) = (gateway.namespace, gateway.label);
    apply(&gateway.stack, &gateway.files, namespace, label, resources);
    let rows = || {
        BELOW_A_WILDCARD.map(|(sni, authority, ..)| {
            match gateway.get(Transport::Tls(Some(sni)), authority) {
                Seen::Served(body) => Some(body),
                Seen::Refused(403) | Seen::Closed => None,
                other => Some(format!("{other:?}")),
            }
        })
    };
    let text = |body: Option<&str>| body.map(str::to_owned);
    let before = BELOW_A_WILDCARD.map(|(.., before, _)| text(before));
    wait_for("the wildcard", &before, rows).unwrap();

    let (policy, warnings) = gateway.policy();
    assert!(warnings.contains("*.m.example.org"), "{warnings}");
    gateway.stack.kubectl().apply(&policy).unwrap();
    let after = BELOW_A_WILDCARD.map(|(.., after)| text(after));
    wait_for("the policy", &after, rows).unwrap();
    let mutual = Transport::MutualTls(Some("y.m.example.org"), &gateway.client);
    for authority in ["y.m.example.org", "z.m.example.org:443"] {
        let answer = gateway.get(mutual, authority);
        assert_eq!(answer, Seen::Served("m".into()), "{authority}");
    }
    assert_eq!(gateway.others_seen(), others());
}

/// Rules of a policy that denies requests for b, and whether clients without a certificate still reach its routes.
/// `SPELLINGS` stands for all spellings of b, and `OWN` for the SNIs of its own server and of the passthrough.
const RULES: [(&str, bool); 17] = [
    (
        "hosts: [b.example.com, 'b.example.com:*']; key: connection.sni, notValues: [OWN]",
        false,
    ),
    (
        "hosts: [SPELLINGS]; key: connection.sni, notValues: [OWN]",
        false,
    ),
    (
        "hosts: ['B.Example.COM*']; key: connection.sni, notValues: [OWN]",
        false,
    ),
    (
        "hosts: ['b.*']; key: connection.sni, notValues: [OWN]",
        false,
    ),
    ("hosts: ['*']; key: connection.sni, notValues: [OWN]", false),
    (
        "ports: ['$PORT']; key: connection.sni, notValues: [OWN]",
        false,
    ),
    (
        "notPorts: ['443']; key: connection.sni, notValues: [OWN]",
        false,
    ),
    (
        "hosts: [b.example.com]; key: connection.sni, notValues: [OWN]",
        true,
    ),
    (
        "hosts: [b.example.com, 'b.example.com:443']; key: connection.sni, notValues: [OWN]",
        true,
    ),
    (
        "hosts: ['*.example.com', '*.example.com:443']; key: connection.sni, notValues: [OWN]",
        true,
    ),
    (
        "hosts: ['*'], notHosts: ['*.example.org']; key: connection.sni, notValues: [OWN]",
        true,
    ),
    (
        "hosts: [SPELLINGS], ports: ['443']; key: connection.sni, notValues: [OWN]",
        true,
    ),
    (
        "hosts: [SPELLINGS]; key: connection.sni, notValues: [OWN, c.example.com]",
        true,
    ),
    (
        "hosts: [SPELLINGS]; key: connection.sni, notValues: [OWN, '*.b.example.com']",
        true,
    ),
    (
        "hosts: [SPELLINGS]; key: connection.sni, notValues: [OWN, 'c*']",
        true,
    ),
    (
        "hosts: [SPELLINGS]; key: connection.sni, values: ['*'], notValues: [OWN]",
        true,
    ),
    (
        "hosts: [SPELLINGS]; key: connection.sni, values: ['*.example.com'], notValues: [OWN]",
        true,
    ),
];

/// `check` finds that rules deny all requests for b, if Envoy denies all that are sent here.
#[test]
fn check_reads_rules_as_envoy_applies_them() {
    let gateway = Mutual::open(Stack::shared().unwrap(), "mutual-rules", "mutual-rules");
    let names = [
        SERVER_NAMES.as_slice(),
        &[Some("c.example.com"), Some("c.b.example.com")],
    ]
    .concat();
    let authorities = [AUTHORITIES.as_slice(), &["b.example.com:x.example.org"]].concat();
    let b = Seen::Served("b".into());
    for (number, (rule, is_reached)) in RULES.into_iter().enumerate() {
        let (operation, condition) = rule.split_once("; ").unwrap();
        let marker = format!("marker-{number}.example.com");
        let policy = format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: boundary, namespace: {}}}\n\
             spec:\n  selector: {{matchLabels: {{istio: {}}}}}\n  action: DENY\n  rules:\n\
             \x20 - to: [{{operation: {{{operation}}}}}]\n    when: [{{{condition}}}]\n\
             \x20 - to: [{{operation: {{hosts: [{marker}]}}}}]\n",
            gateway.namespace, gateway.label
        )
        .replace(
            "SPELLINGS",
            "b.example.com, 'b.example.com:*', b.example.com., 'b.example.com.:*'",
        )
        .replace("OWN", "b.example.com, p.example.com")
        .replace("$PORT", &gateway.tls.port().to_string());
        gateway.stack.kubectl().apply(&policy).unwrap();
        let get = |sni: Option<&'static str>, authority: &str| {
            gateway.get(Transport::Tls(sni), authority)
        };
        // The last rule shows that Envoy has the policy.
        wait_for(rule, &Seen::Refused(403), || {
            get(Some("x.example.com"), &marker)
        })
        .unwrap();

        let reached: Vec<_> = names
            .iter()
            .flat_map(|sni| authorities.iter().map(move |authority| (*sni, *authority)))
            .filter(|(sni, authority)| get(*sni, authority) == b)
            .collect();
        assert_eq!(!reached.is_empty(), is_reached, "{rule}: {reached:?}");
        let severity = gateway.severity();
        let expected = if is_reached { "error" } else { "warning" };
        assert_eq!(severity, expected, "{rule}: {reached:?}");
    }
}

#[test]
fn the_commands_for_mutual_tls_print_what_they_say() {
    let stack = Arc::new(Stack::start().unwrap());
    let gateway = Mutual::open(stack, "istio-system", "ingressgateway");
    let work = TempDir::new().unwrap();
    let kubeconfig = gateway.stack.kubectl().kubeconfig().display().to_string();
    let shell = Shell {
        folder: work.path(),
        environment: vec![("PATH", path()), ("KUBECONFIG", kubeconfig)],
        words: Vec::new(),
    };
    let commands = transcript::check("SECURITY.md", "console istio", &shell, |_| ()).unwrap();
    assert_eq!(commands, 3);
    let attempt = *attempts(&AUTHORITIES).first().unwrap();
    wait_for("the policy", &Seen::Refused(403), || gateway.ask(attempt)).unwrap();
    assert_eq!(gateway.others_seen(), others());
}
