//! The Secrets in which Helm keeps its releases. Each has up to a megabyte, and a cluster has hundreds, so a dump
//! of all Secrets is many times larger than what matters for gateways.

/// The first octets of a release: gzip, encoded as base64 by Helm and again by Kubernetes (Helm
/// `pkg/storage/driver/util.go`, `encodeRelease`).
const PREFIXES: [(&[u8], &[u8]); 2] = [
    (b"release: SDRzSUFB", b"release: \"\""),
    (b"\"release\": \"SDRzSUFB", b"\"release\": \"\""),
];

/// Empties the release in the last line of a text that is being read. `start` is the position of the line. All
/// lines stay, so positions of faults stay too.
pub fn drop_release(text: &mut Vec<u8>, start: usize) {
    let line = text.get(start..).unwrap_or_default();
    let content = line.trim_ascii_start();
    let indentation = line.len() - content.len();
    let Some((_, replacement)) = PREFIXES
        .iter()
        .find(|(prefix, _)| content.starts_with(prefix))
    else {
        return;
    };
    // JSON has a comma if another key follows.
    let has_comma = content.trim_ascii_end().ends_with(b",");
    let has_end = content.ends_with(b"\n");
    text.truncate(start + indentation);
    text.extend_from_slice(replacement);
    if has_comma {
        text.push(b',');
    }
    if has_end {
        text.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::drop_release;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let mut text = format!("before\n{line}").into_bytes();
        drop_release(&mut text, 7);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            format!("before\n{expected}")
        );
    }

    #[test]
    fn only_releases_are_emptied() {
        check("  release: SDRzSUFBQUFB\n", "  release: \"\"\n");
        check("  release: SDRzSUFBQUFB", "  release: \"\"");
        check(
            "    \"release\": \"SDRzSUFBQUFB\"\n",
            "    \"release\": \"\"\n",
        );
        check(
            "    \"release\": \"SDRzSUFBQUFB\",\n",
            "    \"release\": \"\",\n",
        );
        check("  release: stable\n", "  release: stable\n");
        check(
            "  release-name: SDRzSUFBQUFB\n",
            "  release-name: SDRzSUFBQUFB\n",
        );
        check("", "");
    }
}
