//! What `verify` reports about an image, against the code with which Istio's agent pulls it: with and without
//! credentials, TLS, a trusted authority, an `imagePullSecret` and `WASM_INSECURE_REGISTRIES`.

use std::fs;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::istio::fetch_program;
use tests::module;
use tests::process::packager_program;
use tests::registry::{Options, PASSWORD, Registry, USER};

/// `publisher:open sesame`
const BASIC: &str = "cHVibGlzaGVyOm9wZW4gc2VzYW1l";

/// The realms of registries: with no login, with one that the agent uses, and with one that it refuses.
const REALMS: [Option<&str>; 3] = [
    None,
    Some("https://registry.example.com/"),
    Some("Registry Realm"),
];

/// A registry by one of its names.
struct Case<'c> {
    host: String,
    has_login: bool,
    /// The authority of the registry's certificate; `None` without TLS.
    authority: Option<&'c Path>,
    folder: &'c Path,
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The names of this machine that lead to the loopback interface. The agent and `packager` take plain HTTP for
/// `localhost` without being asked to.
fn names() -> Vec<String> {
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = name.trim().to_owned();
    let is_loopback = (name.as_str(), 1)
        .to_socket_addrs()
        .is_ok_and(|mut addresses| addresses.all(|address| address.ip().is_loopback()));
    let mut names = vec!["localhost".to_owned()];
    names.extend(Some(name).filter(|name| is_loopback && !name.is_empty()));
    names
}

impl Case<'_> {
    fn reference(&self) -> String {
        format!("{}/team/sni-guard:1", self.host)
    }

    /// The flags that this machine needs.
    fn flags(&self) -> Vec<&str> {
        let mut flags = match self.authority {
            Some(authority) => vec!["--ca-file", text(authority)],
            None if self.host.starts_with("localhost") => Vec::new(),
            None => vec!["--plain-http"],
        };
        if self.has_login {
            flags.extend(["--username", USER, "--password-stdin"]);
        }
        flags
    }

    fn push(&self) {
        let module = module::build().unwrap();
        let reference = self.reference();
        let known = ["push", &reference, "--module", text(&module)];
        let run = packager_program(&[&known[..], &self.flags()].concat(), &[], PASSWORD).unwrap();
        assert_eq!(run.status, 0, "{}", run.talk);
    }

    /// Whether the image loads, and what a gateway needs for that, as `verify` reports it.
    fn verify(&self, environment: &[(&str, &str)]) -> (bool, Vec<String>) {
        let reference = self.reference();
        let known = ["verify", &reference, "--output", "json"];
        let arguments = [&known[..], &self.flags()].concat();
        let run = packager_program(&arguments, environment, PASSWORD).unwrap();
        let report: Value = serde_json::from_str(&run.out).unwrap();
        // Without an answer to a client without credentials, the needs are null.
        let needs = report.get("needs").and_then(Value::as_array);
        let needs = needs
            .into_iter()
            .flatten()
            .map(|need| need.get("need").and_then(Value::as_str).unwrap().to_owned())
            .collect();
        let loads = report.get("loads").and_then(Value::as_bool);
        (loads.unwrap(), needs)
    }

    /// What the agent does.
    fn fetch(&self, environment: &[(&str, &str)], has_secret: bool, is_insecure: bool) -> String {
        let secret = self.folder.join("secret.json");
        let auths = json!({ "auths": { &self.host: {
            "username": USER, "password": PASSWORD, "auth": BASIC,
        } } });
        fs::write(&secret, auths.to_string()).unwrap();
        let output = Command::new(fetch_program().unwrap())
            .args([self.reference(), is_insecure.to_string()])
            .args(has_secret.then_some(&secret))
            .env_clear()
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        // The agent logs to standard output too.
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        out.lines().last().unwrap_or_default().to_owned()
    }

    /// Compares both for all gateways, and returns the number of comparisons.
    fn compare(&self, is_trusted: bool) -> usize {
        let file = self.authority.filter(|_| is_trusted).map(text);
        let mut environment = vec![("HOME", "/nonexistent")];
        environment.extend(file.map(|file| ("SSL_CERT_FILE", file)));
        let (loads, needs) = self.verify(&environment);
        let mut compared = 0;
        for has_secret in [false, true] {
            for is_insecure in [false, true] {
                let is_met = |need: &String| match need.as_str() {
                    "imagePullSecret" => has_secret,
                    "trustedAuthority" => is_insecure,
                    _ => false,
                };
                let fetched = self.fetch(&environment, has_secret, is_insecure);
                assert!(
                    fetched.starts_with("loads:") || fetched.starts_with("fails:"),
                    "{fetched}"
                );
                assert_eq!(
                    loads && needs.iter().all(is_met),
                    fetched.starts_with("loads:"),
                    "{}, login {}, trusted {is_trusted}, secret {has_secret}, insecure {is_insecure}: \
                     loads {loads}, needs {needs:?}; the agent: {fetched}",
                    self.host,
                    self.has_login,
                );
                compared += 1;
            }
        }
        compared
    }
}

#[test]
fn verify_reports_what_the_agent_does() {
    let folder = TempDir::new().unwrap();
    let names = names();
    let owned: Vec<&str> = names.iter().map(String::as_str).collect();
    let (certificate, authority) = Certificate::issue(folder.path(), &owned).unwrap();
    let mut compared = 0;
    for certificate in [None, Some(&certificate)] {
        for realm in REALMS {
            let registry = Registry::start_with(&Options { certificate, realm }).unwrap();
            let authority = certificate.map(|_| authority.as_path());
            for name in &names {
                let case = Case {
                    host: format!("{name}:{}", registry.address().port()),
                    has_login: realm.is_some(),
                    authority,
                    folder: folder.path(),
                };
                case.push();
                compared += case.compare(false);
                if authority.is_some() {
                    compared += case.compare(true);
                }
            }
        }
    }
    assert_eq!(compared, 36 * names.len());
}
