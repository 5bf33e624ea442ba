//! One Envoy with the listeners of several cases.

use gateway::Listener;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::envoy::{Envoy, Filter, Guard, GuardConfig};
use tests::gateways::{Case, Listening, bootstrap, cases, free_backends};
use tests::module;

/// Answers 421 where the SNI is not the authority.
const STRICT: &str = r#"
function envoy_on_request(request)
  if request:streamInfo():requestedServerName() ~= request:headers():get(":authority") then
    request:respond({[":status"] = "421"}, "")
  end
end
"#;

/// Answers 421 to everything.
const ALWAYS: &str = r#"
function envoy_on_request(request)
  request:respond({[":status"] = "421"}, "")
end
"#;

/// Answers with a number that nobody had before.
const COUNTING: &str = r#"
count = 0
function envoy_on_request(request)
  count = count + 1
  request:respond({[":status"] = "200"}, tostring(count))
end
"#;

/// Answers as two versions do, in turn.
const TWO_VERSIONS: &str = r#"
count = 0
function envoy_on_request(request)
  count = count + 1
  request:respond({[":status"] = "200"}, tostring(count % 2))
end
"#;

/// Our filter, in the place of a script.
const GUARD: &str = "guard";

/// The listeners, each with the case whose it is, and its filter.
const LISTENERS: [(&str, &str, Option<&str>); 12] = [
    ("plain", "01-one-secret", None),
    ("guarded", "01-one-secret", Some(GUARD)),
    ("always", "01-one-secret", Some(ALWAYS)),
    ("old", "01-one-secret", None),
    ("merged", "06-one-server", None),
    ("strict", "06-one-server", Some(STRICT)),
    ("counting", "06-one-server", Some(COUNTING)),
    ("two versions", "06-one-server", Some(TWO_VERSIONS)),
    ("wildcard", "07-wildcard-route", None),
    ("mutual", "11-mutual", None),
    ("mutual guarded", "11-mutual", Some(GUARD)),
    ("unattached", "14-not-exported", None),
];

pub(super) struct Gateways {
    envoy: Envoy,
    pub(super) certificate: Certificate,
    pub(super) folder: TempDir,
}

impl Gateways {
    /// Starts some of [`LISTENERS`], or all where none is named.
    pub(super) fn start(names: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let certified = ["*.example.com", "*.b.example.com"];
        let certificate = Certificate::generate(folder.path(), &certified).unwrap();
        let cases = cases().unwrap();
        let mut listening = Vec::new();
        for (name, case, filter) in LISTENERS {
            // Without names, all are wanted.
            if !names.is_empty() && !names.contains(&name) {
                continue;
            }
            let listener = listener(&cases, case);
            let filter = filter.map(|text| match text {
                GUARD => guard(listener),
                script => Filter::Lua(script.into()),
            });
            let backends = free_backends(listener).unwrap();
            listening.push(Listening {
                name: name.into(),
                listener,
                filter,
                backends,
            });
        }
        let mut config = bootstrap(&listening, &certificate).unwrap();
        speak_http_1_1(&mut config);
        let envoy = Envoy::start_with(config).unwrap();
        Self {
            envoy,
            certificate,
            folder,
        }
    }

    /// Where a listener is, as the command line has it.
    pub(super) fn connect(&self, name: &str) -> String {
        self.envoy.listener(name).unwrap().to_string()
    }
}

fn listener<'c>(cases: &'c [Case], name: &str) -> &'c Listener {
    let case = cases.iter().find(|case| case.name == name).unwrap();
    case.tls_listeners().next().unwrap().1
}

fn guard(listener: &Listener) -> Filter {
    let config = json!({ "servers": listener.overlapping_servers() });
    Filter::Guard(Guard {
        module: module::build().unwrap(),
        config: GuardConfig::Inline(Some(config)),
    })
}

/// Has the listener `old` offer HTTP/1.1 alone.
fn speak_http_1_1(config: &mut Value) {
    let listeners = config["static_resources"]["listeners"]
        .as_array_mut()
        .unwrap();
    let chains = listeners
        .iter_mut()
        .find(|listener| listener["name"] == "old")
        .and_then(|listener| listener["filter_chains"].as_array_mut());
    for chain in chains.into_iter().flatten() {
        let context = &mut chain["transport_socket"]["typed_config"]["common_tls_context"];
        context["alpn_protocols"] = json!(["http/1.1"]);
    }
}
