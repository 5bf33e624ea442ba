//! The compact form of `servers`: one text in place of a map.
//!
//! Envoy keeps the configuration of a plugin once per filter chain, so a table of a thousand servers
//! has to be short. Labels and shared suffixes are most of a readable table; the compact form has no
//! labels and writes each suffix once:
//!
//! ```text
//! example.com: * a b c,d @,www team.example.org: x y,z.example.net.
//! ```
//!
//! Words are separated by blanks. A word that ends with a colon is a suffix, for the words after it.
//! Any other word is a server: its hosts, separated by commas. A host is relative to the suffix, as
//! in a DNS zone file (RFC 1035 §5.1): `a` after `example.com:` is `a.example.com`, `*` is
//! `*.example.com`, `@` is the suffix itself, and a host that ends with a dot is a whole name. The
//! label of a server is its first host.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::document::Document;

/// The map for a compact table. The hosts are not validated.
pub(super) fn read(text: &str) -> Document {
    let mut servers = Vec::new();
    let mut suffix = "";
    for word in text.split_ascii_whitespace() {
        // A suffix holds until the next one.
        if let Some(new) = word.strip_suffix(':') {
            suffix = new;
            continue;
        }
        // Any other word is a server. It has no label of its own, so its first host is the label.
        let hosts: Vec<String> = word.split(',').map(|host| whole(host, suffix)).collect();
        let label = hosts.first().cloned().unwrap_or_default();
        let hosts = hosts.into_iter().map(Document::Text).collect();
        servers.push((label, Document::List(hosts)));
    }
    Document::Map(servers)
}

/// The whole name of a host in a compact table.
fn whole(host: &str, suffix: &str) -> String {
    match host.strip_suffix('.') {
        Some(name) => name.to_owned(),
        None if suffix.is_empty() || host.is_empty() => host.to_owned(),
        None if host == "@" => suffix.to_owned(),
        None => format!("{host}.{suffix}"),
    }
}

/// Writes the compact form of servers, each a list of hosts without a trailing dot. Reading it gives
/// the same lists, in another order.
#[must_use]
pub fn write<'h>(servers: impl IntoIterator<Item = &'h [String]>) -> String {
    let servers: Vec<&[String]> = servers.into_iter().collect();
    // Count how many servers could be written under each suffix.
    let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
    for first in servers.iter().filter_map(|hosts| hosts.first()) {
        for suffix in suffixes(first) {
            *uses.entry(suffix).or_default() += 1;
        }
    }
    // Write each server under the suffix that makes its first host shortest. The servers under a
    // suffix share what the suffix itself costs.
    let mut groups: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for hosts in servers {
        let Some(first) = hosts.first() else {
            continue;
        };
        let suffix = suffixes(first)
            .min_by_key(|suffix| cost(first, suffix, uses.get(suffix).copied().unwrap_or(1)))
            .unwrap_or_default();
        let hosts: Vec<String> = hosts.iter().map(|host| relative(host, suffix)).collect();
        groups.entry(suffix).or_default().push(hosts.join(","));
    }
    // The words before the first suffix are whole names; the empty suffix sorts first.
    let groups: Vec<String> = groups
        .iter()
        .map(|(suffix, servers)| {
            let servers = servers.join(" ");
            match *suffix {
                "" => servers,
                suffix => format!("{suffix}: {servers}"),
            }
        })
        .collect();
    groups.join(" ")
}

/// The octets that the first host of a server costs under a suffix that `uses` servers share. The suffix itself
/// costs a colon and two blanks besides its text.
fn cost(first: &str, suffix: &str, uses: usize) -> usize {
    first.len() - suffix.len() + (suffix.len() + 3) / uses
}

/// The part of a host after each of its dots, and the empty suffix.
fn suffixes(host: &str) -> impl Iterator<Item = &str> {
    host.match_indices('.')
        .filter_map(|(dot, _)| host.get(dot + 1..))
        .chain([""])
}

/// A host as it is written after a suffix.
fn relative(host: &str, suffix: &str) -> String {
    if suffix.is_empty() {
        return host.to_owned();
    }
    if host == suffix {
        return "@".to_owned();
    }
    match host
        .strip_suffix(suffix)
        .and_then(|rest| rest.strip_suffix('.'))
    {
        Some(rest) => rest.to_owned(),
        None => format!("{host}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn servers(text: &str) -> Vec<Vec<String>> {
        text.split(';')
            .map(|hosts| hosts.split(' ').map(ToOwned::to_owned).collect())
            .collect()
    }

    /// The hosts of each server of a compact table.
    fn read_lists(text: &str) -> Vec<Vec<String>> {
        let Document::Map(servers) = read(text) else {
            return vec![];
        };
        servers
            .into_iter()
            .map(|(label, hosts)| {
                let Document::List(hosts) = hosts else {
                    return vec![];
                };
                let hosts: Vec<String> = hosts
                    .into_iter()
                    .filter_map(|host| match host {
                        Document::Text(text) => Some(text),
                        _ => None,
                    })
                    .collect();
                assert_eq!(hosts.first(), Some(&label));
                hosts
            })
            .collect()
    }

    #[track_caller]
    fn check_read(text: &str, expected: &str) {
        assert_eq!(read_lists(text), servers(expected), "{text}");
    }

    #[test]
    fn hosts_are_relative_to_the_suffix_before_them() {
        check_read("a.b c.d,e.f", "a.b;c.d e.f");
        check_read("b.c: a * @ *.x a,d", "a.b.c;*.b.c;b.c;*.x.b.c;a.b.c d.b.c");
        check_read("b.c: a. a,x.y. *.", "a;a.b.c x.y;*");
        check_read(" b: a\n\tc:  a", "a.b;a.c");
        check_read("b: a : a *", "a.b;a;*");
        check_read("b: a,,c", "a.b  c.b");
        assert_eq!(read("b: c:"), Document::Map(vec![]));
    }

    #[track_caller]
    fn check_write(hosts: &str, expected: &str) {
        let lists = servers(hosts);
        let text = write(lists.iter().map(Vec::as_slice));
        assert_eq!(text, expected, "{hosts}");
        let mut found = read_lists(&text);
        let mut expected = lists;
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_suffix_is_written_once() {
        check_write(
            "*.example.com;a.example.com;b.example.com",
            "example.com: * a b",
        );
        check_write(
            "*.example.com;a.x.example.com;b.example.com",
            "example.com: * a.x b",
        );
        check_write(
            "a.example.com a.example.org;b.example.com example.com x.a.example.com",
            "example.com: a,a.example.org. b,@,x.a",
        );
        check_write("a", "a");
        check_write("*;a.b.example.com;c.b.example.com", "* b.example.com: a c");
        check_write("* a.b;c.d", "*,a.b c.d");
        check_write(
            "notexample.com x.example.com;a.b",
            "notexample.com,x.example.com a.b",
        );
    }

    #[test]
    fn fifteen_hundred_hosts_take_ten_octets_each() {
        let mut lists: Vec<Vec<String>> = (0..1_500)
            .map(|number| vec![format!("host-{number}.example.com")])
            .collect();
        lists.push(vec!["*.example.com".into()]);
        let text = write(lists.iter().map(Vec::as_slice));
        assert!(text.len() < 15_000, "{}", text.len());
        assert_eq!(read_lists(&text).len(), 1_501);
    }

    #[test]
    fn a_server_without_hosts_is_left_out() {
        assert_eq!(write([[].as_slice()]), "");
    }
}
