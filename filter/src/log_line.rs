//! The log line of a misdirected request.

use std::fmt;

use rule::{Config, Decision, Misdirection};

/// The content of a line.
#[derive(Clone, Copy, Debug)]
pub struct Mismatch<'a> {
    /// The configuration, for the labels of the two servers.
    pub config: &'a Config,
    /// The server name of the connection.
    pub sni: &'a [u8],
    /// The authority of the request.
    pub authority: &'a [u8],
    /// Why the request is misdirected.
    pub reason: Misdirection,
    /// The decision, for the last words of the line.
    pub decision: Decision,
}

/// A text from outside, as one word of printable ASCII: blanks and everything else are escaped, and
/// what exceeds the length of a DNS name is counted.
#[derive(Clone, Copy, Debug)]
struct Word<'a>(&'a [u8]);

/// The longest text of a DNS name, in octets (RFC 1035 §2.3.4).
const LONGEST: usize = 255;

impl fmt::Display for Mismatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = |server: Option<&'_ str>| match server {
            Some(label) => Word(label.as_bytes()).to_string(),
            None => "-".to_owned(),
        };
        let outcome = match self.decision {
            Decision::Reject(_) => "answered 421",
            Decision::Report(_) => "reported",
            Decision::Pass(_) => "passed",
        };
        write!(
            f,
            "misdirected request: sni {} of server {}, authority {} of server {}, reason {}, {}",
            Word(self.sni),
            label(self.config.server_of_sni(self.sni)),
            Word(self.authority),
            label(self.config.server_of_authority(self.authority)),
            self.reason.name(),
            outcome,
        )
    }
}

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.0.split_at_checked(LONGEST).unwrap_or((self.0, &[]));
        for part in shown.split_inclusive(|byte| *byte == b' ') {
            match part.strip_suffix(b" ") {
                Some(before) => write!(f, "{}\\x20", before.escape_ascii())?,
                None => write!(f, "{}", part.escape_ascii())?,
            }
        }
        if rest.is_empty() {
            return Ok(());
        }
        write!(f, "…(+{} octets)", rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rule::Document;

    fn line(json: &str, sni: &[u8], authority: &[u8], decision: Decision) -> String {
        let document: Document = serde_json::from_str(json).unwrap();
        let mismatch = Mismatch {
            config: &Config::parse(&document).unwrap(),
            sni,
            authority,
            reason: Misdirection::OtherServer,
            decision,
        };
        mismatch.to_string()
    }

    const CONFIG: &str = r#"{"servers": {"shop/a": ["a.com"], "two words\n": ["b.com"]}}"#;

    #[test]
    fn a_line_has_both_names_and_both_servers() {
        let reject = Decision::Reject(Misdirection::OtherServer);
        assert_eq!(
            line(CONFIG, b"a.com", b"B.com:443", reject),
            "misdirected request: sni a.com of server shop/a, authority B.com:443 of server \
             two\\x20words\\n, reason other_server, answered 421"
        );
        let report = Decision::Report(Misdirection::OtherServer);
        assert_eq!(
            line("{}", b"a.com", b"b.com", report),
            "misdirected request: sni a.com of server -, authority b.com of server -, reason \
             other_server, reported"
        );
    }

    #[test]
    fn no_name_from_a_client_can_look_like_another_part_of_the_line() {
        let reject = Decision::Reject(Misdirection::OtherServer);
        let sni = b"x, reason equal\n\x1b[2J\xff";
        let line = line("{}", sni, b"\"\\ ", reject);
        assert!(line.is_ascii(), "{line}");
        assert!(
            line.contains("sni x,\\x20reason\\x20equal\\n\\x1b[2J\\xff of server"),
            "{line}"
        );
        assert!(line.contains("authority \\\"\\\\\\x20 of server"), "{line}");
        assert!(!line.contains(['\n', '\x1b']), "{line}");
    }

    #[test]
    fn a_long_name_is_cut_and_the_rest_counted() {
        let reject = Decision::Reject(Misdirection::OtherServer);
        let longest = "a".repeat(LONGEST);
        assert!(
            line("{}", longest.as_bytes(), b"b", reject).contains(&format!("sni {longest} of"))
        );
        let long = "b".repeat(87_000);
        let found = line("{}", b"a", long.as_bytes(), reject);
        assert!(found.len() < 500, "{}", found.len());
        assert!(found.contains("b…(+86745 octets) of server"), "{found}");
    }
}
