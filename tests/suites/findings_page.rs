//! `docs/findings.md`, which is made from the texts of the findings. `BLESS=1` writes it again.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::fs;

use gateway::findings::{Code, Info};
use tests::tools::checkout;

const HEAD: &str = "\
# Findings of `packager check`

`packager check` reports each finding with a code. `packager check --explain SG101` prints the section of a code.
This page is generated from the texts in `gateway/src/findings`.

- error: requests fail, or reach the wrong backend.
- warning: requests may fail, or a part of the input is missing to be certain.
- info: no request fails.

The exit status is 1 if there is an error. With `packager check --fail-on warning` it is also 1 if there is a warning.

## Hide a finding

The annotation `sni-guard/ignore` on a Gateway, ListenerSet, Ingress, WasmPlugin or TrafficExtension hides findings
about this resource. Its value is a list of codes:

```yaml
metadata:
  annotations:
    sni-guard/ignore: \"SG101,SG203\"
```

A finding about connection coalescing stands for pairs of a connection to one server and a request for another. A pair
is hidden if the resource of one of its servers has the annotation. `packager check` counts hidden findings and pairs as
suppressed, and `packager merge` leaves the servers alone.

## Codes

| code | name | severity |
|---|---|---|
";

#[test]
fn the_page_has_the_texts_of_every_code() {
    let path = checkout().join("docs/findings.md");
    let expected = page();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &expected).unwrap();
    }
    let page = fs::read_to_string(path).unwrap();
    assert!(page == expected, "docs/findings.md: now\n{expected}");
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for code in Code::ALL {
        let (id, name, severity) = (code.id(), code.name(), code.severity().name());
        let anchor = id.to_lowercase();
        writeln!(page, "| [{id}](#{anchor}) | `{name}` | {severity} |").unwrap();
    }
    for code in Code::ALL {
        write_section(code.info(), &mut page);
    }
    page
}

/// GitHub makes the anchor of a heading from its text, and SARIF reports link to it: the code is the heading.
fn write_section(info: &Info, page: &mut String) {
    let Info {
        id,
        name,
        severity,
        what,
        why,
        example,
        fix,
        coalesced_answer: _,
    } = info;
    write!(page, "\n## {id}\n\n`{name}`, {}\n", severity.name()).unwrap();
    for (label, text) in [
        ("What", what),
        ("Why", why),
        ("Example", example),
        ("Fix", fix),
    ] {
        // A wildcard host must not start emphasis.
        let text = text.replace('*', "\\*");
        write!(page, "\n**{label}**: {text}\n").unwrap();
    }
}
