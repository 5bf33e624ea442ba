//! Reads a [`Config`] from a [`Document`] and collects every fault.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::{Action, Config, Protocol, Rule, Servers, Treatment, compact};
use crate::document::Document;
use crate::fault::{Fault, Faults};
use crate::host::{HostPattern, HostTable, PatternError, istio_pattern};

/// The longest text that a fault quotes, in octets.
const LONGEST_QUOTED: usize = 64;

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
const ACTIONS: [Action; 3] = [Action::Enforce, Action::Report, Action::Off];
const TREATMENTS: [Treatment; 2] = [Treatment::Pass, Treatment::Reject];
const ALL_PROTOCOLS: [Protocol; 3] = [Protocol::Http1, Protocol::Http2, Protocol::Http3];

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
        ACTION | HOSTS => names(&ACTIONS, Action::name),
        PROTOCOLS => names(&ALL_PROTOCOLS, Protocol::name),
        GRPC | MISSING_SNI | UNLISTED_SNI => names(&TREATMENTS, Treatment::name),
        _ => Vec::new(),
    }
}

/// The value of a key. As in Kubernetes, an explicit null is a field that is not set.
fn field<'d>(entries: &'d [(String, Document)], key: &str) -> Option<&'d Document> {
    entries
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, value)| value)
        .filter(|value| **value != Document::Null)
}

fn names<T: Copy>(choices: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    choices.iter().copied().map(name).collect()
}

/// Reads the fields of a document. A wrong field gets its default and adds a fault, so the result counts only if
/// there is no fault.
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
        // Clients coalesce connections in HTTP/2 and HTTP/3, so these are the default protocols.
        Config {
            rule: self.rule(field(entries, RULE), field(entries, SERVERS)),
            action: field(entries, ACTION)
                .map_or(Action::Enforce, |value| self.action(ACTION, value)),
            hosts: field(entries, HOSTS).map_or_else(HostTable::default, |value| self.hosts(value)),
            protocols: field(entries, PROTOCOLS).map_or_else(
                || vec![Protocol::Http2, Protocol::Http3],
                |value| self.protocols(value),
            ),
            grpc: self.treatment(GRPC, field(entries, GRPC)),
            missing_sni: self.treatment(MISSING_SNI, field(entries, MISSING_SNI)),
            unlisted_sni: self.treatment(UNLISTED_SNI, field(entries, UNLISTED_SNI)),
            trusted_sni: field(entries, TRUSTED_SNI)
                .map_or_else(Vec::new, |value| self.trusted_sni(value)),
        }
    }

    /// Reports unknown and repeated keys. The entries are sorted, so repeated keys are neighbours.
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
        // A table that nothing reads is probably a mistake, so it is a fault.
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
        // These two were values in development versions, so their messages explain the change.
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
        // The compact form of the table is a text. It stands for a map.
        if let Document::Text(text) = value {
            return self.servers(&compact::read(text));
        }
        let mut servers = Servers::default();
        let mut previous = None;
        // The entries are sorted by their labels, so a repeated label follows the first one.
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
        // `list` reports a value of another type, so only a real empty list is left.
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
            // Envoy picks one filter chain for a host, so no other server can have the same pattern.
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
            // Two keys may be the same host: case and a trailing dot do not count.
            if table.get(&pattern).is_some() {
                let first = entries
                    .iter()
                    .map(|(key, _)| key.as_str())
                    .find(|key| HostPattern::try_from(*key).as_ref() == Ok(&pattern))
                    .unwrap_or_default();
                self.fault(&path, format!("the same host as {HOSTS}[{first:?}]"));
            }
            table.insert(pattern, action);
        }
        table
    }

    fn protocols(&mut self, value: &Document) -> Vec<Protocol> {
        let mut protocols = Vec::new();
        for (index, item) in self.list(PROTOCOLS, value).iter().enumerate() {
            let path = format!("{PROTOCOLS}[{index}]");
            protocols.extend(self.choice(&path, item, &ALL_PROTOCOLS, Protocol::name));
        }
        protocols
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
            .and_then(|value| self.choice(path, value, &TREATMENTS, Treatment::name))
            .unwrap_or(Treatment::Pass)
    }

    /// Reads an action. kubectl reads YAML 1.1, where `on` and `off` without quotes are booleans.
    fn action(&mut self, path: &str, value: &Document) -> Action {
        match value {
            Document::Bool(false) => Action::Off,
            Document::Bool(true) => Action::Enforce,
            other => self
                .choice(path, other, &ACTIONS, Action::name)
                .unwrap_or(Action::Off),
        }
    }

    fn choice<T: Copy>(
        &mut self,
        path: &str,
        value: &Document,
        choices: &[T],
        name: fn(T) -> &'static str,
    ) -> Option<T> {
        if let Document::Text(text) = value
            && let Some(choice) = choices.iter().find(|choice| name(**choice) == text)
        {
            return Some(*choice);
        }
        // A value of another type gets the same message as an unknown word.
        let expected = format!("one of {}", names(choices, name).join(", "));
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
        // Only a text is short enough to quote in full.
        let problem = match found {
            // A longer text is no misspelt value. It may be a private key, which must not reach a log.
            Document::Text(text) if text.len() <= LONGEST_QUOTED => {
                format!("expected {expected}, found {text:?}")
            }
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
