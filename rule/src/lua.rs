//! The rule as a Lua script, for Envoy's filter `envoy.filters.http.lua`.
//!
//! A script needs no image. It decides as [`Config::decide`] does for [`seen_by_script`], because a script cannot see
//! the virtual host (Envoy `source/extensions/filters/http/lua/wrappers.cc`). So it needs the table of all servers.
//!
//! A script is a heading, one line per setting, and code that is always the same:
//!
//! ```lua
//! local action = "enforce"
//! local hosts = "*.lab.example.com=report b.example.com=off"
//! local servers = "example.com: * a b"
//! ```
//!
//! `servers` has the [compact form](crate::config::compact). Every host in a script comes from a valid
//! [`Config`], so no text of a configuration can end a Lua string.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::{Config, Rule, compact};
use crate::document::Document;
use crate::request::{Facts, Route};

/// The code of every script, after its settings.
const CODE: &str = include_str!("lua/script.lua");

/// The first line of every script.
const HEADING: &str =
    "-- sni-guard: answers 421 to a request for a host of another server than the SNI's\n";

/// The value of the setting `rule` if the table of servers decides.
const SERVERS: &str = "servers";

/// A script that [`write()`] made, perhaps in another version or edited since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The configuration of its settings, not validated.
    pub configuration: Document,
    /// Whether its code is the code of this version.
    pub is_current: bool,
}

/// The settings of a script, by the names of their local variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    Rule,
    Action,
    Hosts,
    Protocols,
    Grpc,
    MissingSni,
    UnlistedSni,
    TrustedSni,
    Servers,
}

impl Setting {
    /// In the order of the lines.
    const ALL: [Self; 9] = [
        Self::Rule,
        Self::Action,
        Self::Hosts,
        Self::Protocols,
        Self::Grpc,
        Self::MissingSni,
        Self::UnlistedSni,
        Self::TrustedSni,
        Self::Servers,
    ];

    /// The name of the local variable.
    fn variable(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Action => "action",
            Self::Hosts => "hosts",
            Self::Protocols => "protocols",
            Self::Grpc => "grpc",
            Self::MissingSni => "missing_sni",
            Self::UnlistedSni => "unlisted_sni",
            Self::TrustedSni => "trusted_sni",
            Self::Servers => "servers",
        }
    }

    /// The key of the configuration.
    fn key(self) -> &'static str {
        match self {
            Self::MissingSni => "missingSni",
            Self::UnlistedSni => "unlistedSni",
            Self::TrustedSni => "trustedSni",
            Self::Rule
            | Self::Action
            | Self::Hosts
            | Self::Protocols
            | Self::Grpc
            | Self::Servers => self.variable(),
        }
    }

    /// The text of the setting in a script.
    fn write(self, config: &Config) -> String {
        match self {
            Self::Rule => match config.rule {
                Rule::Servers(_) => SERVERS.to_owned(),
                Rule::Exact => "exact".to_owned(),
            },
            Self::Action => config.action.name().to_owned(),
            Self::Hosts => {
                let mut hosts: Vec<String> = config
                    .hosts
                    .iter()
                    .map(|(pattern, action)| format!("{pattern}={}", action.name()))
                    .collect();
                hosts.sort_unstable();
                hosts.join(" ")
            }
            Self::Protocols => {
                let names: Vec<&str> = config.protocols.iter().map(|p| p.name()).collect();
                names.join(" ")
            }
            Self::Grpc => config.grpc.name().to_owned(),
            Self::MissingSni => config.missing_sni.name().to_owned(),
            Self::UnlistedSni => config.unlisted_sni.name().to_owned(),
            Self::TrustedSni => {
                let patterns: Vec<String> =
                    config.trusted_sni.iter().map(ToString::to_string).collect();
                patterns.join(" ")
            }
            Self::Servers => match &config.rule {
                Rule::Servers(servers) => {
                    // Without labels, only the hosts can say in which order the servers stand.
                    let mut hosts: Vec<Vec<String>> = servers.hosts().into_values().collect();
                    hosts.sort_unstable();
                    compact::write(hosts.iter().map(Vec::as_slice))
                }
                Rule::Exact => String::new(),
            },
        }
    }

    /// The value of the setting in a configuration; `Null` for a setting that has its default.
    fn read(self, text: &str) -> Document {
        match self {
            Self::Rule if text == SERVERS => Document::Null,
            Self::Servers if text.is_empty() => Document::Null,
            // The compact form of the table is a text in a configuration too.
            Self::Rule
            | Self::Action
            | Self::Grpc
            | Self::MissingSni
            | Self::UnlistedSni
            | Self::Servers => Document::Text(text.to_owned()),
            Self::Hosts => {
                let mut actions: Vec<(String, Document)> = text
                    .split_ascii_whitespace()
                    .map(|word| {
                        let (host, action) = word.split_once('=').unwrap_or((word, ""));
                        (host.to_owned(), Document::Text(action.to_owned()))
                    })
                    .collect();
                actions.sort_by(|(a, _), (b, _)| a.cmp(b));
                Document::Map(actions)
            }
            Self::Protocols | Self::TrustedSni => Document::List(
                text.split_ascii_whitespace()
                    .map(|word| Document::Text(word.to_owned()))
                    .collect(),
            ),
        }
    }
}

/// Writes the script for a configuration. Its length in octets has no limit here; a `TrafficExtension` takes 65,536.
#[must_use]
pub fn write(config: &Config) -> String {
    let settings: Vec<String> = Setting::ALL
        .into_iter()
        .map(|setting| {
            let text = setting.write(config);
            format!("local {} = \"{text}\"\n", setting.variable())
        })
        .collect();
    format!("{HEADING}{}{CODE}", settings.concat())
}

/// A request as a script sees it: it cannot ask for the virtual host, and names that its table does not list pass.
#[must_use]
pub fn seen_by_script(facts: Facts<'_>) -> Facts<'_> {
    Facts {
        route: Route::Matched,
        has_route: false,
        ..facts
    }
}

/// Reads a script; `None` if [`write()`] did not make it.
#[must_use]
pub fn read(script: &str) -> Option<Script> {
    let mut rest = script.strip_prefix(HEADING)?;
    let mut entries = Vec::new();
    for setting in Setting::ALL {
        // A line that is not one text is not a line that `write` made.
        let start = format!("local {} = \"", setting.variable());
        let (text, following) = rest.strip_prefix(start.as_str())?.split_once("\"\n")?;
        if text.contains(['"', '\\', '\n']) {
            return None;
        }
        entries.push((setting.key().to_owned(), setting.read(text)));
        rest = following;
    }
    // The keys of a document are sorted.
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(Script {
        configuration: Document::Map(entries),
        is_current: rest == CODE,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn parse(text: &str) -> Config {
        Config::parse(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn a_setting_is_one_line() {
        for (configuration, expected) in [
            ("{}", r#"local rule = "servers""#),
            ("{}", r#"local action = "enforce""#),
            ("{}", r#"local hosts = """#),
            ("{}", r#"local protocols = "h2 h3""#),
            ("{}", r#"local grpc = "pass""#),
            ("{}", r#"local missing_sni = "pass""#),
            ("{}", r#"local unlisted_sni = "pass""#),
            ("{}", r#"local trusted_sni = """#),
            ("{}", r#"local servers = """#),
            (r#"{"rule": "exact"}"#, r#"local rule = "exact""#),
            (r#"{"action": "off"}"#, r#"local action = "off""#),
            (
                r#"{"hosts": {"b.com": "off", "*.A.com": "report", "*": "enforce"}}"#,
                r#"local hosts = "*.a.com=report *=enforce b.com=off""#,
            ),
            (
                r#"{"protocols": ["h3", "h1"]}"#,
                r#"local protocols = "h3 h1""#,
            ),
            (r#"{"grpc": "reject"}"#, r#"local grpc = "reject""#),
            (
                r#"{"missingSni": "reject"}"#,
                r#"local missing_sni = "reject""#,
            ),
            (
                r#"{"unlistedSni": "reject"}"#,
                r#"local unlisted_sni = "reject""#,
            ),
            (
                r#"{"trustedSni": ["cdn.net", "*.cdn.org"]}"#,
                r#"local trusted_sni = "cdn.net *.cdn.org""#,
            ),
            (
                r#"{"servers": {"x": ["*.example.com"], "y": ["a.example.com", "b.net"]}}"#,
                r#"local servers = "example.com: * a,b.net.""#,
            ),
        ] {
            let script = write(&parse(configuration));
            assert!(
                script.lines().any(|line| line == expected),
                "{configuration}: {script}"
            );
        }
    }

    #[test]
    fn a_script_is_read_as_the_configuration_that_it_was_written_for() {
        for configuration in [
            "{}",
            r#"{"rule": "exact", "action": "report", "protocols": []}"#,
            r#"{"hosts": {"b.com": "off", "*": "report"}, "trustedSni": ["*.cdn.org"]}"#,
            r#"{"missingSni": "reject", "unlistedSni": "reject", "grpc": "reject"}"#,
            r#"{"servers": {"x": ["*", "a.b"], "y": ["c.a.b"], "z": ["d.a.b", "*.e"]}}"#,
        ] {
            let script = write(&parse(configuration));
            let read = read(&script).unwrap();
            assert!(read.is_current, "{configuration}");
            // Labels differ, so compare what the settings write again.
            let again = write(&Config::parse(&read.configuration).unwrap());
            assert!(again == script, "{configuration}: {again}");
        }
    }

    #[test]
    fn a_default_is_no_entry_of_the_configuration() {
        let Document::Map(entries) = read(&write(&parse("{}"))).unwrap().configuration else {
            unreachable!("settings are a map");
        };
        let null: Vec<&str> = entries
            .iter()
            .filter(|(_, value)| *value == Document::Null)
            .map(|(key, _)| key.as_str())
            .collect();
        assert_eq!(null, vec!["rule", "servers"]);
    }

    #[test]
    fn a_script_sees_a_virtual_host_everywhere_and_no_route() {
        let unmatched = Facts::new(b"a", b"b");
        let seen = seen_by_script(unmatched);
        assert_eq!((seen.route, seen.has_route), (Route::Matched, false));
        assert_eq!(seen_by_script(unmatched.routed()), seen);
        // It sees everything else as it is.
        let connect = Facts {
            connect: true,
            protocol: None,
            ..unmatched
        };
        let expected = Facts {
            route: Route::Matched,
            ..connect
        };
        assert_eq!(seen_by_script(connect), expected);
    }

    #[test]
    fn a_script_of_another_version_is_still_ours() {
        let script = write(&parse("{}"));
        let edited = script.replace("return value or", "return value and");
        assert_ne!(edited, script);
        assert!(!read(&edited).unwrap().is_current);
    }

    #[test]
    fn a_script_of_somebody_else_is_not_read() {
        let script = write(&parse("{}"));
        for (old, new) in [
            ("-- sni-guard", "-- other"),
            ("local action = \"enforce\"", "local action = 'enforce'"),
            (
                "local action = \"enforce\"",
                "local action = \"\\101nforce\"",
            ),
            ("local action = \"enforce\"\n", ""),
            ("\"\nlocal trusted_sni", "\" .. x\nlocal trusted_sni"),
        ] {
            let other = script.replace(old, new);
            assert_ne!(other, script, "{old}");
            assert_eq!(read(&other), None, "{old}");
        }
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_name_of_a_table_without_a_host_is_a_fault_and_no_panic() {
        let script = write(&parse("{}")).replace("hosts = \"\"", "hosts = \"a.com\"");
        assert!(Config::parse(&read(&script).unwrap().configuration).is_err());
    }
}
