//! The entry of a credentials file that is for a repository.

use oci_client::Reference;
use serde_json::Value;

use crate::image::docker_hub;

/// What a file has for a repository.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// An entry of `auths` with a secret.
    Secret(Value),
    /// A credential helper, and the names under which it may know the registry.
    Helper { name: String, keys: Vec<String> },
}

/// The entry for a reference: a credential helper for the registry, else credentials in the file, else the
/// helper for all registries.
pub(super) fn find(config: &Value, reference: &Reference) -> Option<Entry> {
    if let Some((key, helper)) = matching(config, "credHelpers", reference).pop()
        && let Some(name) = helper.as_str().filter(|name| !name.is_empty())
    {
        return Some(Entry::Helper {
            name: name.to_owned(),
            keys: vec![key.to_owned()],
        });
    }
    // If the helper for all registries has the credentials, docker writes an entry without a secret.
    let entries = matching(config, "auths", reference);
    if let Some((_, entry)) = entries.iter().rev().find(|(_, entry)| has_secret(entry)) {
        return Some(Entry::Secret((*entry).clone()));
    }

    let name = config
        .get("credsStore")?
        .as_str()
        .filter(|name| !name.is_empty())?;
    let mut keys = vec![store_key(reference).to_owned()];
    for (key, _) in entries {
        if !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    Some(Entry::Helper {
        name: name.to_owned(),
        keys,
    })
}

/// The name under which docker stores the credentials of a registry.
fn store_key(reference: &Reference) -> &str {
    let registry = reference.registry();
    if docker_hub::is_docker_hub(registry) {
        docker_hub::CONFIG_KEY
    } else {
        registry
    }
}

fn has_secret(entry: &Value) -> bool {
    ["auth", "identitytoken", "password"].iter().any(|field| {
        entry
            .get(field)
            .and_then(Value::as_str)
            .is_some_and(|text| !text.is_empty())
    })
}

/// The entries of a map whose keys name the repository, the most specific last.
fn matching<'c>(config: &'c Value, map: &str, reference: &Reference) -> Vec<(&'c str, &'c Value)> {
    let Some(entries) = config.get(map).and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut matching: Vec<(Specificity, &str, &Value)> = entries
        .iter()
        .filter_map(|(key, entry)| Some((specificity(key, reference)?, key.as_str(), entry)))
        .collect();
    matching.sort_by_key(|(specificity, ..)| *specificity);
    matching
        .into_iter()
        .map(|(_, key, entry)| (key, entry))
        .collect()
}

/// How closely a key describes a repository: the length of the path, then whether the key is the registry
/// as written.
type Specificity = (usize, bool);

/// `None` if a key is for another registry or repository. docker compares only the hosts of keys, and writes
/// URLs; podman writes keys for repositories and their parents too.
fn specificity(key: &str, reference: &Reference) -> Option<Specificity> {
    let url = ["https://", "http://"]
        .iter()
        .find_map(|scheme| key.strip_prefix(scheme));
    let (host, path) = match url.unwrap_or(key).split_once('/') {
        Some((host, path)) => (host, path.trim_end_matches('/')),
        None => (url.unwrap_or(key), ""),
    };
    if !is_same_registry(host, reference.registry()) {
        return None;
    }
    if url.is_some() || ["", "v1", "v2"].contains(&path) {
        return Some((0, key == reference.registry()));
    }
    match reference.repository().strip_prefix(path) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => Some((path.len(), true)),
        Some(_) | None => None,
    }
}

fn is_same_registry(a: &str, b: &str) -> bool {
    let (a, b) = (a.to_ascii_lowercase(), b.to_ascii_lowercase());
    a == b || (docker_hub::is_docker_hub(&a) && docker_hub::is_docker_hub(&b))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Entry, find};

    /// The value of the entry that is found for a reference.
    fn found(config: &Value, reference: &str) -> Option<String> {
        match find(config, &reference.parse().unwrap())? {
            Entry::Secret(entry) => Some(entry["auth"].as_str().unwrap().to_owned()),
            Entry::Helper { name, keys } => Some(format!("{name} {}", keys.join(" "))),
        }
    }

    #[test]
    fn keys_of_a_registry_or_of_a_repository() {
        for (key, matches) in [
            ("r.io", true),
            ("R.io", true),
            ("r.io/", true),
            ("http://r.io", true),
            ("https://r.io/v1/", true),
            ("https://r.io/any/path", true),
            ("r.io/v2/", true),
            ("r.io/team", true),
            ("r.io/team/x", true),
            ("r.io/tea", false),
            ("r.io/team/x/y", false),
            ("r.io:443", false),
            ("x.r.io", false),
            ("io", false),
            ("", false),
        ] {
            let config = json!({ "auths": { key: { "auth": "a" } } });
            assert_eq!(found(&config, "r.io/team/x:1").is_some(), matches, "{key}");
        }
        for key in [
            "docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
        ] {
            let config = json!({ "auths": { key: { "auth": "a" } } });
            assert!(found(&config, "docker.io/team/x:1").is_some(), "{key}");
        }
    }

    #[test]
    fn the_most_specific_entry_wins() {
        let config = json!({ "auths": {
            "r.io/team": { "auth": "team" },
            "https://r.io/v1/": { "auth": "url" },
            "r.io": { "auth": "registry" },
            "r.io/team/y": { "auth": "y" },
        } });
        for (reference, expected) in [
            ("r.io/team/x:1", "team"),
            ("r.io/team/y:1", "y"),
            ("r.io/other/y:1", "registry"),
        ] {
            assert_eq!(
                found(&config, reference).as_deref(),
                Some(expected),
                "{reference}"
            );
        }
    }

    #[test]
    fn helpers() {
        let config = json!({
            "auths": { "r.io": { "email": "a" }, "https://r.io/v1/": {}, "s.io": { "auth": "s" } },
            "credHelpers": { "https://h.io": "own" },
            "credsStore": "store",
        });
        for (reference, expected) in [
            ("r.io/x/y:1", "store r.io https://r.io/v1/"),
            ("s.io/x/y:1", "s"),
            ("h.io/x/y:1", "own https://h.io"),
            ("t.io/x/y:1", "store t.io"),
            ("docker.io/x/y:1", "store https://index.docker.io/v1/"),
        ] {
            assert_eq!(
                found(&config, reference).as_deref(),
                Some(expected),
                "{reference}"
            );
        }
        assert_eq!(found(&json!({ "credsStore": "" }), "r.io/x/y:1"), None);
        assert_eq!(found(&json!([]), "r.io/x/y:1"), None);
    }
}
