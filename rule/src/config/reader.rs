//! From a [`Document`] to a [`Config`], collecting every fault on the way.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{Action, Config, Protocol, Rule, Servers, Treatment, compact};
use crate::document::Document;
use crate::fault::{Fault, Faults};
use crate::host::{HostPattern, HostTable, PatternError, istio_pattern};

const RULE: &str = "rule";
const ACTION: &str = "action";
const HOSTS: &str = "hosts";
const SERVERS: &str = "servers";
const PROTOCOLS: &str = "protocols";
const GRPC: &str = "grpc";
const MISSING_SNI: &str = "missingSni";
const UNLISTED_SNI: &str = "unlistedSni";
const TRUSTED_SNI: &str = "trustedSni";
pub(super) const KEYS: [&str; 9] = [
    RULE,
    ACTION,
    HOSTS,
    SERVERS,
    PROTOCOLS,
    GRPC,
    MISSING_SNI,
    UNLISTED_SNI,
    TRUSTED_SNI,
];

const EXACT: &str = "exact";
const ACTIONS: [(&str, Action); 3] = [
    ("enforce", Action::Enforce),
    ("report", Action::Report),
    ("off", Action::Off),
];
const TREATMENTS: [(&str, Treatment); 2] =
    [("pass", Treatment::Pass), ("reject", Treatment::Reject)];
const PROTOCOL_NAMES: [(&str, Protocol); 3] = [
    ("h1", Protocol::Http1),
    ("h2", Protocol::Http2),
    ("h3", Protocol::Http3),
];

pub(super) fn read(document: &Document) -> Result<Config, Faults> {
    let mut reader = Reader { faults: Vec::new() };
    let config = reader.config(document);
    match Faults::collect(reader.faults) {
        None => Ok(config),
        Some(faults) => Err(faults),
    }
}

pub(super) fn words(key: &str) -> Vec<&'static str> {
    match key {
        RULE => vec![EXACT],
        ACTION | HOSTS => names(&ACTIONS),
        PROTOCOLS => names(&PROTOCOL_NAMES),
        GRPC | MISSING_SNI | UNLISTED_SNI => names(&TREATMENTS),
        _ => Vec::new(),
    }
}

fn names<T>(choices: &[(&'static str, T)]) -> Vec<&'static str> {
    choices.iter().map(|(name, _)| *name).collect()
}

/// Reads what is right, with the default in place of what is wrong. The result counts only when
/// `faults` stays empty.
struct Reader {
    faults: Vec<Fault>,
}

impl Reader {
    fn config(&mut self, document: &Document) -> Config {
        let entries = match document {
            Document::Null => &[],
            Document::Map(entries) => entries.as_slice(),
            other => {
                self.expected("", "a map", other);
                &[]
            }
        };
        self.top_level_keys(entries);
        // As in Kubernetes, an explicit null is a field that is not set.
        let field = |key| {
            let mut values = entries.iter().filter(|(name, _)| name == key);
            values
                .next()
                .map(|(_, value)| value)
                .filter(|value| **value != Document::Null)
        };
        Config {
            rule: self.rule(field(RULE), field(SERVERS)),
            action: field(ACTION).map_or(Action::Enforce, |value| self.action(ACTION, value)),
            hosts: field(HOSTS).map_or_else(HostTable::default, |value| self.hosts(value)),
            protocols: field(PROTOCOLS).map_or_else(
                || vec![Protocol::Http2, Protocol::Http3],
                |value| self.protocols(value),
            ),
            grpc: self.treatment(GRPC, field(GRPC)),
            missing_sni: self.treatment(MISSING_SNI, field(MISSING_SNI)),
            unlisted_sni: self.treatment(UNLISTED_SNI, field(UNLISTED_SNI)),
            trusted_sni: field(TRUSTED_SNI).map_or_else(Vec::new, |value| self.trusted_sni(value)),
        }
    }

    fn top_level_keys(&mut self, entries: &[(String, Document)]) {
        let mut previous = None;
        for (key, _) in entries {
            if !KEYS.contains(&key.as_str()) {
                self.fault(
                    key,
                    format!("unknown key, expected one of {}", KEYS.join(", ")),
                );
            } else if previous == Some(key) {
                self.fault(key, "given twice".into());
            }
            previous = Some(key);
        }
    }

    fn rule(&mut self, name: Option<&Document>, servers: Option<&Document>) -> Rule {
        let is_exact = name.is_some_and(|value| self.is_exact(value));
        let servers = servers.map(|value| self.servers(value));
        match (is_exact, servers) {
            (true, None) => Rule::Exact,
            (true, Some(servers)) => {
                self.fault(
                    SERVERS,
                    "rule exact does not read them, leave out one of the two".into(),
                );
                Rule::Servers(Box::new(servers))
            }
            (false, servers) => Rule::Servers(Box::new(servers.unwrap_or_default())),
        }
    }

    fn is_exact(&mut self, value: &Document) -> bool {
        let name = match value {
            Document::Text(text) => text.as_str(),
            _ => "",
        };
        // The other two were values before the first release.
        let expected = match name {
            EXACT => return true,
            "servers" => {
                "exact or nothing (it holds wherever servers are listed, leave out the key rule)"
            }
            "unrouted" => {
                "exact or nothing (it holds wherever no servers are listed, leave out the key rule)"
            }
            _ => EXACT,
        };
        self.expected(RULE, expected, value);
        false
    }

    fn servers(&mut self, value: &Document) -> Servers {
        if let Document::Text(text) = value {
            return self.servers(&compact::read(text));
        }
        let mut servers = Servers::default();
        let mut previous = None;
        for (label, hosts) in self.map(SERVERS, value) {
            let path = format!("{SERVERS}[{label:?}]");
            if previous == Some(label) {
                self.fault(&path, "given twice".into());
            }
            previous = Some(label);
            self.server(&mut servers, label, &path, hosts);
        }
        servers.finish()
    }

    fn server(&mut self, servers: &mut Servers, label: &str, path: &str, hosts: &Document) {
        let server = servers.add(label);
        let hosts_of_server = self.list(path, hosts);
        if let (Document::List(_), []) = (hosts, hosts_of_server) {
            self.fault(path, "expected at least one host".into());
        }
        for (index, host) in hosts_of_server.iter().enumerate() {
            let path = format!("{path}[{index}]");
            let Some(text) = self.text(&path, host) else {
                continue;
            };
            let Some(pattern) = self.pattern(&path, text, istio_pattern(text)) else {
                continue;
            };
            if let Err(owner) = servers.assign(pattern, server) {
                let owner = servers.label(owner).unwrap_or_default();
                let problem =
                    format!("{text:?} is in {SERVERS}[{owner:?}] too, a host has one server");
                self.fault(&path, problem);
            }
        }
    }

    fn hosts(&mut self, value: &Document) -> HostTable<Action> {
        let mut table = HostTable::default();
        let entries = self.map(HOSTS, value);
        for (key, action) in entries {
            let path = format!("{HOSTS}[{key:?}]");
            let action = self.action(&path, action);
            let pattern = HostPattern::try_from(key.as_str());
            let Some(pattern) = self.pattern(&path, key, pattern) else {
                continue;
            };
            if table.get(&pattern).is_some() {
                let same = |(key, _): &&(String, _)| {
                    HostPattern::try_from(key.as_str()).as_ref() == Ok(&pattern)
                };
                let first = entries.iter().find(same).map_or("", |(key, _)| key);
                self.fault(&path, format!("the same host as {HOSTS}[{first:?}]"));
            }
            table.insert(pattern, action);
        }
        table
    }

    fn protocols(&mut self, value: &Document) -> Vec<Protocol> {
        let items = self.list(PROTOCOLS, value).iter().enumerate();
        items
            .filter_map(|(index, item)| {
                self.choice(&format!("{PROTOCOLS}[{index}]"), item, &PROTOCOL_NAMES)
            })
            .collect()
    }

    fn trusted_sni(&mut self, value: &Document) -> Vec<HostPattern> {
        let mut patterns = Vec::new();
        for (index, item) in self.list(TRUSTED_SNI, value).iter().enumerate() {
            let path = format!("{TRUSTED_SNI}[{index}]");
            let Some(text) = self.text(&path, item) else {
                continue;
            };
            patterns.extend(self.pattern(&path, text, HostPattern::try_from(text)));
        }
        patterns
    }

    fn treatment(&mut self, path: &str, value: Option<&Document>) -> Treatment {
        value
            .and_then(|value| self.choice(path, value, &TREATMENTS))
            .unwrap_or(Treatment::Pass)
    }

    /// kubectl reads YAML 1.1, where an unquoted `off` is a boolean before anyone else sees it.
    fn action(&mut self, path: &str, value: &Document) -> Action {
        match value {
            Document::Bool(false) => Action::Off,
            Document::Bool(true) => Action::Enforce,
            other => self.choice(path, other, &ACTIONS).unwrap_or(Action::Off),
        }
    }

    fn choice<T: Copy>(
        &mut self,
        path: &str,
        value: &Document,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        if let Document::Text(text) = value
            && let Some((_, choice)) = choices.iter().find(|(name, _)| name == text)
        {
            return Some(*choice);
        }
        let expected = format!("one of {}", names(choices).join(", "));
        self.expected(path, &expected, value);
        None
    }

    fn pattern(
        &mut self,
        path: &str,
        text: &str,
        pattern: Result<HostPattern, PatternError>,
    ) -> Option<HostPattern> {
        pattern
            .map_err(|error| self.fault(path, format!("{text:?} is not a host: {error}")))
            .ok()
    }

    fn text<'d>(&mut self, path: &str, value: &'d Document) -> Option<&'d str> {
        if let Document::Text(text) = value {
            return Some(text);
        }
        self.expected(path, "a host", value);
        None
    }

    fn list<'d>(&mut self, path: &str, value: &'d Document) -> &'d [Document] {
        if let Document::List(items) = value {
            return items;
        }
        self.expected(path, "a list", value);
        &[]
    }

    fn map<'d>(&mut self, path: &str, value: &'d Document) -> &'d [(String, Document)] {
        if let Document::Map(entries) = value {
            return entries;
        }
        self.expected(path, "a map", value);
        &[]
    }

    fn expected(&mut self, path: &str, expected: &str, found: &Document) {
        let problem = match found {
            Document::Text(text) => format!("expected {expected}, found {text:?}"),
            other => format!("expected {expected}, found {}", other.kind()),
        };
        self.fault(path, problem);
    }

    fn fault(&mut self, path: &str, problem: String) {
        self.faults.push(Fault {
            path: path.into(),
            problem,
        });
    }
}
