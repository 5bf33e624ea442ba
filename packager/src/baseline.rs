//! A baseline: the findings of an earlier report, which do not count for the exit status.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The findings of an earlier report.
#[derive(Debug, Default)]
pub(crate) struct Baseline(Vec<KnownFinding>);

/// A report as JSON, as `check --output json` writes it: the keys that identify findings.
#[derive(Deserialize)]
struct ReportText {
    findings: Vec<FindingText>,
}

#[derive(Deserialize)]
struct FindingText {
    code: String,
    name: String,
    severity: Severity,
    workload: Option<String>,
    listener: Option<String>,
    #[serde(default)]
    connections: Vec<String>,
    #[serde(default)]
    owners: Vec<String>,
    /// Reports of version 0.1 have one server of each.
    connection: Option<String>,
    owner: Option<String>,
    #[serde(default)]
    pairs: Vec<IgnoredAny>,
    #[serde(default)]
    resources: Vec<ResourceText>,
    message: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
struct ResourceText {
    kind: String,
    group: String,
    namespace: String,
    name: String,
}

/// The severity of a finding, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Error,
    Warning,
    Info,
}

/// A finding as far as it is compared. The message may change with the version, and a file or a line with each edit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KnownFinding {
    code: String,
    severity: Severity,
    workload: Option<String>,
    listener: Option<String>,
    subject: Subject,
}

/// What a finding is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    Servers {
        connections: BTreeSet<String>,
        owners: BTreeSet<String>,
        /// The hosts in the message: a server can have several, each with its own finding.
        hosts: BTreeSet<String>,
    },
    /// For findings without servers, such as those about certificates.
    Resources(BTreeSet<ResourceText>),
    /// For findings without both.
    Message(String),
}

impl KnownFinding {
    /// Whether a finding of the present report is this one, or a part of it: fewer servers than before are no new
    /// defect, and a worse severity is one.
    fn includes(&self, now: &Self) -> bool {
        let is_same_place = (&self.code, &self.workload, &self.listener)
            == (&now.code, &now.workload, &now.listener);
        is_same_place && now.severity >= self.severity && self.subject.includes(&now.subject)
    }
}

impl Subject {
    fn includes(&self, now: &Self) -> bool {
        match (self, now) {
            (
                Self::Servers {
                    connections,
                    owners,
                    hosts,
                },
                Self::Servers {
                    connections: own_connections,
                    owners: own_owners,
                    hosts: own_hosts,
                },
            ) => {
                own_connections.is_subset(connections)
                    && own_owners.is_subset(owners)
                    && own_hosts.is_subset(hosts)
            }
            (Self::Resources(known), Self::Resources(own)) => own.is_subset(known),
            (Self::Message(known), Self::Message(own)) => known == own,
            (Self::Servers { .. } | Self::Resources(_) | Self::Message(_), _) => false,
        }
    }
}

/// A finding of the present report, compared with the baseline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compared {
    pub(crate) severity: Severity,
    pub(crate) is_known: bool,
    /// The finding in one line.
    pub(crate) title: String,
}

impl Baseline {
    /// Reads an earlier report.
    ///
    /// # Errors
    /// The text is not a report in JSON.
    pub(crate) fn parse(report: &str) -> Result<Self> {
        let ReportText { findings } = parse(report)?;
        Ok(Self(findings.into_iter().map(KnownFinding::from).collect()))
    }

    /// The findings of a report in JSON, in its order.
    ///
    /// # Errors
    /// The text is not a report in JSON.
    pub(crate) fn compare(&self, report: &str) -> Result<Vec<Compared>> {
        let ReportText { findings } = parse(report)?;
        Ok(findings
            .into_iter()
            .map(|finding| self.compared(finding))
            .collect())
    }

    fn compared(&self, finding: FindingText) -> Compared {
        let (severity, title) = (finding.severity, title(&finding));
        let finding = KnownFinding::from(finding);
        Compared {
            severity,
            is_known: self.0.iter().any(|known| known.includes(&finding)),
            title,
        }
    }
}

fn parse(report: &str) -> Result<ReportText> {
    serde_json::from_str(report).context("it is not a report of `packager check --output json`")
}

/// The code, and where the finding is.
fn title(finding: &FindingText) -> String {
    let FindingText {
        code,
        name,
        workload,
        listener,
        message,
        ..
    } = finding;
    match (workload, listener) {
        (Some(workload), Some(listener)) => {
            format!("{code} {name} at workload {workload}, listener {listener}")
        }
        (Some(workload), None) => format!("{code} {name} at workload {workload}"),
        (None, _) => format!("{code} {name}: {message}"),
    }
}

impl From<FindingText> for KnownFinding {
    fn from(finding: FindingText) -> Self {
        let connections: BTreeSet<String> = finding
            .connections
            .into_iter()
            .chain(finding.connection)
            .collect();
        let owners: BTreeSet<String> = finding.owners.into_iter().chain(finding.owner).collect();
        let subject = if !connections.is_empty() || !owners.is_empty() {
            Subject::Servers {
                connections,
                owners,
                // The pairs of servers say which hosts a finding with pairs is about.
                hosts: if finding.pairs.is_empty() {
                    hosts_in(&finding.message)
                } else {
                    BTreeSet::new()
                },
            }
        } else if !finding.resources.is_empty() {
            Subject::Resources(finding.resources.into_iter().collect())
        } else {
            Subject::Message(finding.message)
        };
        Self {
            code: finding.code,
            severity: finding.severity,
            workload: finding.workload,
            listener: finding.listener,
            subject,
        }
    }
}

/// The words of a text that are names with several labels, such as hosts.
fn hosts_in(text: &str) -> BTreeSet<String> {
    text.split_whitespace()
        .map(|word| word.trim_matches(|letter: char| ",;:()".contains(letter)))
        .filter(|word| {
            word.contains('.')
                && word
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || "*-.".contains(letter))
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Baseline, Severity};

    fn finding(code: &str, listener: &str, connections: &[&str], owners: &[&str]) -> Value {
        json!({
            "code": code, "name": "coalesce-not-found", "severity": "error",
            "workload": "istio-system/gw", "listener": listener,
            "connections": connections, "owners": owners, "pairCount": 2,
            "resources": [{"kind": "Gateway", "group": "networking.istio.io", "namespace": "a",
                "name": "b", "file": "a.yaml", "line": 3}],
            "message": "any", "hint": {"text": "any", "command": "any"},
        })
    }

    fn report(findings: &[Value]) -> String {
        json!({ "findings": findings, "summary": {"errors": 1} }).to_string()
    }

    #[track_caller]
    fn check(now: &Value, is_known: bool) {
        let baseline = Baseline::parse(&report(&[finding(
            "SG101",
            "0.0.0.0_8443",
            &["a", "b"],
            &["a"],
        )]))
        .unwrap();
        let compared = baseline
            .compare(&report(std::slice::from_ref(now)))
            .unwrap();
        assert_eq!(compared.len(), 1);
        assert_eq!(compared[0].is_known, is_known, "{now}");
        assert_eq!(compared[0].severity, Severity::Error);
    }

    #[test]
    fn the_order_of_servers_and_the_message_do_not_matter() {
        let mut same = finding("SG101", "0.0.0.0_8443", &["b", "a"], &["a"]);
        check(&same, true);
        same["message"] = json!("another");
        same["resources"][0]["line"] = json!(99);
        check(&same, true);
    }

    #[test]
    fn another_code_listener_or_server_is_another_finding() {
        check(
            &finding("SG102", "0.0.0.0_8443", &["a", "b"], &["a"]),
            false,
        );
        check(&finding("SG101", "0.0.0.0_443", &["a", "b"], &["a"]), false);
        check(
            &finding("SG101", "0.0.0.0_8443", &["a", "b", "c"], &["a"]),
            false,
        );
        check(
            &finding("SG101", "0.0.0.0_8443", &["a", "b"], &["b"]),
            false,
        );
    }

    #[test]
    fn fewer_servers_are_known_and_a_worse_severity_is_not() {
        check(&finding("SG101", "0.0.0.0_8443", &["b"], &["a"]), true);
        let warning = |severity: &str| {
            let mut finding = finding("SG101", "0.0.0.0_8443", &["a"], &["b"]);
            finding["severity"] = json!(severity);
            finding
        };
        let baseline = Baseline::parse(&report(&[warning("warning")])).unwrap();
        for (severity, is_known) in [("info", true), ("warning", true), ("error", false)] {
            let compared = baseline.compare(&report(&[warning(severity)])).unwrap();
            assert_eq!(compared[0].is_known, is_known, "{severity}");
        }
    }

    #[test]
    fn another_host_of_a_server_is_another_finding() {
        let about = |hosts: &str| {
            let mut finding = finding("SG203", "0.0.0.0_8443", &[], &["a"]);
            finding["message"] = json!(format!("no routes for {hosts}: requests get 404"));
            finding
        };
        let baseline =
            Baseline::parse(&report(&[about("a.example.com, *.b.example.com")])).unwrap();
        for (hosts, is_known) in [
            ("a.example.com", true),
            ("*.b.example.com", true),
            ("a.example.com, new.example.com", false),
        ] {
            let compared = baseline.compare(&report(&[about(hosts)])).unwrap();
            assert_eq!(compared[0].is_known, is_known, "{hosts}");
        }
    }

    #[test]
    fn findings_without_servers_are_known_by_their_resources() {
        let mut one = finding("SG304", "", &[], &[]);
        let baseline = Baseline::parse(&report(&[one.clone()])).unwrap();
        let is_known = |now: &Value| {
            baseline
                .compare(&report(std::slice::from_ref(now)))
                .unwrap()[0]
                .is_known
        };
        assert!(is_known(&one));
        one["resources"][0]["name"] = json!("c");
        assert!(!is_known(&one));
        one["resources"] = json!([]);
        assert!(!is_known(&one));
    }

    #[test]
    fn other_texts_are_no_baseline() {
        for text in ["", "{}", "[]", "{\"findings\": [{}]}"] {
            let error = format!("{:#}", Baseline::parse(text).unwrap_err());
            assert!(error.starts_with("it is not a report of "), "{error}");
        }
    }
}
