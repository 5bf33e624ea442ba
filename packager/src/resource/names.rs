//! Names and labels as the API server accepts them (Kubernetes
//! `apimachinery/pkg/util/validation/validation.go`). The error of each type describes the expected form.

use std::collections::BTreeMap;
use std::fmt;

use rule::Fault;
use serde::Serialize;

/// The name of an object: a DNS subdomain (RFC 1123) of at most 253 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ObjectName(String);

/// The name of a namespace: a DNS label (RFC 1123) of at most 63 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Namespace(String);

/// Labels of pods, keys with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Labels(BTreeMap<String, String>);

const NAME_PART: &str = "expected at most 63 letters, digits, \"-\", \"_\" and \".\", with a letter \
                         or digit at both ends";

impl ObjectName {
    /// Reads and validates a name.
    ///
    /// # Errors
    /// The API server would refuse the name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if is_subdomain(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is not a name: expected at most 253 lower-case letters, digits, \"-\" and \
             \".\", with a letter or digit at both ends and beside every \".\""
        ))
    }
}

impl Namespace {
    /// Reads and validates a name.
    ///
    /// # Errors
    /// The API server would refuse the name.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if is_label(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "{text:?} is not a namespace: expected at most 63 lower-case letters, digits and \
             \"-\", with a letter or digit at both ends"
        ))
    }
}

impl Labels {
    /// Reads keys and values. There is a fault for every label that no pod can have: a selector with such a
    /// label matches no pod. `path` is the path of the labels in the resource.
    pub(super) fn parse(pairs: &[(String, String)], path: &str) -> (Self, Vec<Fault>) {
        let (mut labels, mut faults) = (BTreeMap::new(), Vec::new());
        for (key, value) in pairs {
            // The API server checks the key first, so an invalid key hides its value.
            if !is_qualified_name(key) {
                let problem = format!(
                    "{key:?} is not a label: {NAME_PART}, after a DNS name and \"/\" or without"
                );
                faults.push(Fault {
                    path: path.to_owned(),
                    problem,
                });
            } else if !(value.is_empty() || is_name_part(value)) {
                let problem = format!("{value:?} is not the value of a label: {NAME_PART}");
                faults.push(Fault {
                    path: format!("{path}[{key}]"),
                    problem,
                });
            // A selector is a map, so a second value would replace the first.
            } else if labels.insert(key.clone(), value.clone()).is_some() {
                let problem = "given twice, but a pod has one value for each label".into();
                faults.push(Fault {
                    path: format!("{path}[{key}]"),
                    problem,
                });
            }
        }
        (Self(labels), faults)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_lower_word)
}

fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_lower_word(text)
}

fn is_qualified_name(text: &str) -> bool {
    match text.split_once('/') {
        // The prefix of a label is optional.
        None => is_name_part(text),
        Some((prefix, name)) => is_subdomain(prefix) && is_name_part(name),
    }
}

fn is_lower_word(text: &str) -> bool {
    is_word(
        text,
        |octet| octet.is_ascii_lowercase() || octet.is_ascii_digit(),
        b"-",
    )
}

fn is_name_part(text: &str) -> bool {
    text.len() <= 63 && is_word(text, |octet| octet.is_ascii_alphanumeric(), b"-_.")
}

/// Whether a text has letters at both ends, and only letters and `others` between them.
fn is_word(text: &str, is_letter: impl Fn(u8) -> bool, others: &[u8]) -> bool {
    let (Some(first), Some(last)) = (text.bytes().next(), text.bytes().last()) else {
        return false;
    };
    is_letter(first)
        && is_letter(last)
        && text
            .bytes()
            .all(|octet| is_letter(octet) || others.contains(&octet))
}
