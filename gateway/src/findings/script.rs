//! Lua scripts that compare the SNI with the authority: the form of ours, and the requests that other
//! scripts answer 421.

use rule::HostPattern;
use serde_json::{Map, Value, json};

/// The names that our script gives to the versions of HTTP, as Envoy does (`StreamInfo::protocol`), and their
/// names in a configuration.
const PROTOCOLS: [(&str, &str); 4] = [
    ("HTTP/1.0", "h1"),
    ("HTTP/1.1", "h1"),
    ("HTTP/2", "h2"),
    ("HTTP/3", "h3"),
];

/// The parts of our script that make the decision. Without one of them it decides something else.
const OUR_PARTS: [&str; 5] = [
    "host == sni or name == sni or off[name]",
    "protocols[stream:protocol()]",
    "if is_grpc(",
    "if is_connect and",
    "handle:respond({",
];

/// The configuration with the same decisions as a script of the form of `manifests/lua`. `None` for any other
/// script.
pub(super) fn configuration(script: &str) -> Option<Value> {
    let code = Code::new(script);
    let is_ours = OUR_PARTS.iter().all(|part| code.text.contains(part));
    if !code.compares() || code.has_block_comments || !is_ours {
        return None;
    }
    // A host in this table always passes. The script looks up lower-case names, so others have no effect.
    let mut hosts = Map::new();
    for name in code.set("off")? {
        if is_host(&name) {
            hosts.insert(name, json!("off"));
        }
    }
    let protocols: Option<Vec<&str>> = code
        .set("protocols")?
        .iter()
        .map(|name| {
            let (_, protocol) = PROTOCOLS.iter().find(|(known, _)| known == name)?;
            Some(*protocol)
        })
        .collect();
    Some(json!({ "rule": "exact", "hosts": hosts, "protocols": protocols? }))
}

fn is_host(name: &str) -> bool {
    let is_lower_case = name.to_ascii_lowercase() == name;
    is_lower_case && matches!(HostPattern::try_from(name), Ok(HostPattern::Exact(_)))
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

/// The code of a script, without comments.
struct Code {
    text: String,
    /// Whether there are comments of several lines, which stay in the text.
    has_block_comments: bool,
}

impl Code {
    fn new(script: &str) -> Self {
        let lines: Vec<&str> = script.lines().map(without_comment).collect();
        Self {
            text: lines.join("\n"),
            has_block_comments: script.contains("--["),
        }
    }

    /// Whether the code reads both names and can answer 421.
    fn compares(&self) -> bool {
        ["requestedServerName", ":authority", "421"]
            .iter()
            .all(|word| self.text.contains(word))
    }

    /// The keys of a table whose values are all true: `local NAME = { ["KEY"] = true }`. `None` if there is
    /// no such table.
    fn set(&self, name: &str) -> Option<Vec<String>> {
        let (_, rest) = self.text.split_once(&format!("local {name} = {{"))?;
        let (entries, _) = rest.split_once('}')?;
        entries
            .split([',', ';'])
            .map(str::trim)
            // Lua permits a separator after the last entry.
            .filter(|entry| !entry.is_empty())
            .map(key_of_true)
            .collect()
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

/// The key of `["KEY"] = true`.
fn key_of_true(entry: &str) -> Option<String> {
    let (key, value) = entry.rsplit_once('=')?;
    let key = key.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
    let quote = key.chars().next().filter(|first| is_quote(*first))?;
    let key = key.strip_prefix(quote)?.strip_suffix(quote)?;
    // A key with escapes is not a host, and is not worth a full parser.
    (value.trim() == "true" && !key.contains(['\\', '"', '\''])).then(|| key.to_owned())
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
    use serde_json::{Value, json};

    use super::{Comparison, comparison, configuration};

    const OURS: &str = include_str!("../../../manifests/lua/envoyfilter.yaml");

    /// A script that operators copy from each other.
    const STRICT: &str = r#"
        function envoy_on_request(handle)
          local sni = handle:streamInfo():requestedServerName()
          if sni ~= "" and sni ~= handle:headers():get(":authority") then
            handle:respond({[":status"] = "421"}, "Misdirected")
          end
        end"#;

    fn ours(off: &str) -> String {
        OURS.replace("local off = {}", &format!("local off = {off}"))
    }

    #[track_caller]
    fn check_hosts(off: &str, expected: Option<&Value>) {
        let found = configuration(&ours(off)).map(|configuration| configuration["hosts"].clone());
        assert_eq!(found.as_ref(), expected, "{off}");
    }

    #[test]
    fn our_script_has_a_configuration() {
        let expected = json!({ "rule": "exact", "hosts": {}, "protocols": ["h2", "h3"] });
        assert_eq!(configuration(OURS), Some(expected));
        assert_eq!(configuration(STRICT), None);
        assert_eq!(configuration(""), None);
        for (old, new) in [
            ("handle:respond", "-- handle:respond"),
            ("if is_grpc(", "if false and is_grpc("),
            ("or off[name]", ""),
        ] {
            assert_eq!(configuration(&OURS.replace(old, new)), None, "{old}");
        }
    }

    #[test]
    fn the_hosts_that_always_pass_are_read() {
        let b = json!({ "b.example.com": "off" });
        check_hosts(r#"{ ["b.example.com"] = true }"#, Some(&b));
        check_hosts("{ ['b.example.com'] = true; }", Some(&b));
        check_hosts(
            "{\n  [\"b.example.com\"] = true, -- as long as it is moved\n}",
            Some(&b),
        );
        // The script never finds these names.
        check_hosts(
            r#"{ ["*.example.com"] = true, ["B.example.com"] = true }"#,
            Some(&json!({})),
        );
        for other in [
            r#"{ ["b.example.com"] = false }"#,
            r#"{ "b.example.com" }"#,
            "{ [name] = true }",
            r#"{ ["b\x2eexample.com"] = true }"#,
            "require('hosts')",
            "{ ",
        ] {
            check_hosts(other, None);
        }
        assert_eq!(configuration(&OURS.replace("HTTP/3", "HTTP/9")), None);
        let commented = OURS.replace("local protocols", "--[[ local off = {}\n]] local protocols");
        assert_eq!(configuration(&commented), None);
    }

    #[test]
    fn a_script_that_compares_the_names_is_found() {
        let strict = Comparison {
            lists_hosts: false,
            exempts_grpc: false,
            reads_ports: false,
        };
        assert_eq!(comparison(STRICT), Some(strict));
        let ours = Comparison {
            exempts_grpc: true,
            reads_ports: true,
            ..strict
        };
        assert_eq!(comparison(OURS), Some(ours));
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
