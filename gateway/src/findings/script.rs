//! Lua scripts that compare the SNI with the authority: the form of ours, and the requests that other
//! scripts answer 421.

use rule::{Config, Document, lua};
use serde_json::{Map, Value};

/// The configuration of a script of ours. `None` for any other script, and for one whose code was edited or is of
/// another version: it may decide something else.
pub(super) fn configuration(script: &str) -> Option<Value> {
    let script = lua::read(script).filter(|script| script.is_current)?;
    // A script has all settings. A configuration reads better without those that have their defaults.
    let default = lua::write(&Config::parse(&Document::Null).ok()?);
    let defaults = entries(lua::read(&default)?.configuration);
    let configuration: Map<String, Value> = entries(script.configuration)
        .into_iter()
        .filter(|entry| !defaults.contains(entry))
        .map(|(key, value)| (key, to_value(value)))
        .collect();
    Some(Value::Object(configuration))
}

fn entries(document: Document) -> Vec<(String, Document)> {
    match document {
        Document::Map(entries) => entries,
        Document::Null
        | Document::Bool(_)
        | Document::Number
        | Document::Text(_)
        | Document::List(_) => vec![],
    }
}

/// Whether a script has the form of ours, but not its code.
pub(super) fn is_edited(script: &str) -> bool {
    lua::read(script).is_some_and(|script| !script.is_current)
}

fn to_value(document: Document) -> Value {
    match document {
        // No setting is a number.
        Document::Null | Document::Number => Value::Null,
        Document::Bool(value) => value.into(),
        Document::Text(text) => text.into(),
        Document::List(items) => items.into_iter().map(to_value).collect(),
        Document::Map(entries) => entries
            .into_iter()
            .map(|(key, value)| (key, to_value(value)))
            .collect(),
    }
}

/// What a script that compares the SNI with the authority does not exempt. Read from its texts, so a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Whether the script names hosts, so that it may compare servers and not only names.
    pub(super) lists_hosts: bool,
    /// Whether the script reads the content type of gRPC.
    pub(super) exempts_grpc: bool,
    /// Whether the script looks for the port of an authority.
    pub(super) reads_ports: bool,
}

/// How a script compares the SNI with the authority; `None` for a script that does not, or that never
/// answers 421.
pub(super) fn comparison(script: &str) -> Option<Comparison> {
    let code = Code::new(script);
    if !code.compares() {
        return None;
    }
    let texts = code.texts();
    Some(Comparison {
        lists_hosts: texts.iter().any(|text| looks_like_host(text)),
        exempts_grpc: texts.iter().any(|text| text.contains("application/grpc")),
        reads_ports: texts.iter().any(|text| looks_like_port_pattern(text)),
    })
}

/// Whether a text is a host, or a pattern of Lua for hosts, such as `%.example%.com`.
fn looks_like_host(text: &str) -> bool {
    let host = text.replace('%', "");
    let has_octets = host
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".-*^$".contains(&byte));
    // Names of Envoy's extensions have dots too.
    has_octets
        && host.trim_matches('.').contains('.')
        && !host.starts_with("envoy.")
        && host.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether a text is a pattern of Lua with a colon, and not a pseudo-header or a message.
fn looks_like_port_pattern(text: &str) -> bool {
    let is_pseudo_header = text
        .strip_prefix(':')
        .is_some_and(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()));
    text.contains(':') && !is_pseudo_header && !text.contains(' ') && !text.contains("//")
}

/// The code of a script, without comments of one line.
struct Code {
    text: String,
}

impl Code {
    fn new(script: &str) -> Self {
        let lines: Vec<&str> = script.lines().map(without_comment).collect();
        Self {
            text: lines.join("\n"),
        }
    }

    /// Whether the code reads both names and can answer 421.
    fn compares(&self) -> bool {
        ["requestedServerName", ":authority", "421"]
            .iter()
            .all(|word| self.text.contains(word))
    }

    /// The string literals.
    fn texts(&self) -> Vec<&str> {
        let mut texts = Vec::new();
        let mut rest = self.text.as_str();
        while let Some((start, quote)) = rest.char_indices().find(|(_, c)| is_quote(*c)) {
            // Both quotes are one octet long.
            let after = rest.get(start + 1..).unwrap_or_default();
            let Some((text, following)) = after.split_once(quote) else {
                break;
            };
            texts.push(text);
            rest = following;
        }
        texts
    }
}

fn is_quote(character: char) -> bool {
    matches!(character, '"' | '\'')
}

/// A line of Lua without its comment.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    for (index, character) in line.char_indices() {
        match quote {
            // Two hyphens in a text are not a comment.
            Some(end) if character == end => quote = None,
            Some(_) => {}
            None if is_quote(character) => quote = Some(character),
            None => {
                let rest = line.get(index..).unwrap_or_default();
                if rest.starts_with("--") {
                    return line.get(..index).unwrap_or_default();
                }
            }
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use rule::{Config, Document, lua};
    use serde::Deserialize as _;
    use serde_json::{Value, json};

    use super::{Comparison, comparison, configuration, is_edited};

    /// Our script for a configuration.
    fn ours(configuration: &Value) -> String {
        let document = Document::deserialize(configuration).unwrap();
        lua::write(&Config::parse(&document).unwrap())
    }

    /// A script that operators copy from each other.
    const STRICT: &str = r#"
        function envoy_on_request(handle)
          local sni = handle:streamInfo():requestedServerName()
          if sni ~= "" and sni ~= handle:headers():get(":authority") then
            handle:respond({[":status"] = "421"}, "Misdirected")
          end
        end"#;

    #[test]
    fn our_script_has_a_configuration() {
        for expected in [
            json!({}),
            json!({ "rule": "exact", "action": "report", "protocols": ["h2"] }),
            json!({ "hosts": { "b.example.com": "off" }, "trustedSni": ["cdn.net"] }),
            json!({ "grpc": "reject", "missingSni": "reject", "unlistedSni": "reject" }),
            json!({ "servers": "example.com: * a" }),
        ] {
            assert_eq!(configuration(&ours(&expected)), Some(expected));
        }
        for other in [STRICT, ""] {
            assert_eq!(configuration(other), None);
            assert!(!is_edited(other));
        }
    }

    #[test]
    fn an_edited_script_has_no_configuration() {
        let script = ours(&json!({}));
        for (old, new) in [
            ("handle:respond", "-- handle:respond"),
            ("\"421\"", "\"200\""),
            ("return value or", "return value and"),
        ] {
            let edited = script.replace(old, new);
            assert_eq!(configuration(&edited), None, "{old}");
            assert!(is_edited(&edited), "{old}");
        }
    }

    #[test]
    fn a_script_that_compares_the_names_is_found() {
        let strict = Comparison {
            lists_hosts: false,
            exempts_grpc: false,
            reads_ports: false,
        };
        assert_eq!(comparison(STRICT), Some(strict));
        let of_ours = Comparison {
            exempts_grpc: true,
            reads_ports: true,
            ..strict
        };
        assert_eq!(comparison(&ours(&json!({}))), Some(of_ours));
        let listing = STRICT.replace("\"Misdirected\"", "hosts[\"b.example.com\"]");
        let lists_hosts = Comparison {
            lists_hosts: true,
            ..strict
        };
        assert_eq!(comparison(&listing), Some(lists_hosts));
    }

    #[test]
    fn other_scripts_are_not() {
        for (old, new) in [
            ("requestedServerName", "downstreamLocalAddress"),
            (":authority", ":path"),
            ("\"421\"", "\"403\""),
            ("\"421\"", "\"403\" -- not 421\n"),
        ] {
            assert_eq!(comparison(&STRICT.replace(old, new)), None, "{new}");
        }
    }
}
