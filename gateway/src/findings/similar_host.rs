//! Hosts that differ by a typing error.

use serde_json::{Value, json};
use strsim::osa_distance;

use crate::routes::Binding;

/// Whether one host may be a misspelling of the other: they differ in at most two letters, or in one label by at
/// most a third of its letters. Case does not count: Istio compares it when it attaches routes.
pub(super) fn is_similar(host: &str, other: &str) -> bool {
    let (host, other) = (host.to_ascii_lowercase(), other.to_ascii_lowercase());
    // The comparison below is quadratic in the length, and most hosts differ in length or in several labels.
    if host.len().abs_diff(other.len()) <= 2 && osa_distance(&host, &other) <= 2 {
        return true;
    }
    if host.split('.').count() != other.split('.').count() {
        return false;
    }
    let different: Vec<(&str, &str)> = host
        .split('.')
        .zip(other.split('.'))
        .filter(|(label, other)| label != other)
        .collect();
    match different.as_slice() {
        [(label, other)] => osa_distance(label, other) <= label.chars().count() / 3,
        _ => false,
    }
}

/// The JSON patch of a VirtualService that replaces a host, and the SNIs of its TLS rules: the API server refuses SNIs
/// that are not hosts of the resource (Istio `pkg/config/validation/validation.go`, `validateSniHost`).
pub(super) fn correction(binding: &Binding, index: usize, right: &str) -> Value {
    let wrong = binding.hosts.get(index).map_or("", String::as_str);
    let mut operations = vec![json!({
        "op": "replace", "path": format!("/spec/hosts/{index}"), "value": right
    })];
    for (rule_index, rule) in binding.tls.iter().enumerate() {
        for (match_index, condition) in rule.matches.iter().enumerate() {
            for (host_index, host) in condition.sni_hosts.iter().enumerate() {
                if host.as_str() == wrong {
                    let path =
                        format!("/spec/tls/{rule_index}/match/{match_index}/sniHosts/{host_index}");
                    operations.push(json!({"op": "replace", "path": path, "value": right}));
                }
            }
        }
    }
    Value::Array(operations)
}

#[cfg(test)]
mod tests {
    use super::is_similar;

    #[test]
    fn misspelt_hosts_and_other_hosts() {
        for (host, other, expected) in [
            ("b.example.com", "b.exmaple.com", true),
            ("b.example.com", "b.example.con", true),
            ("b.example.com", "bexample.com", true),
            ("B.example.com", "b.example.com", true),
            ("checkout.example.com", "chekcuot.example.com", true),
            ("checkout.example.com", "catalogue.example.com", false),
            ("shop.example.com", "shop.example.org", false),
            ("shop.example.com", "cart.example.com", false),
            ("example.com", "www.example.com", false),
        ] {
            assert_eq!(is_similar(host, other), expected, "{host} {other}");
        }
    }
}
