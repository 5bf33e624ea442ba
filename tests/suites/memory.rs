//! The memory of a configuration, as `packager manifest` estimates it, for many Gateways on one workload.
//! `make bench-memory` measures it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use tests::many_gateways::manifest;

const WILDCARD: &str = "*.example.com";

/// Runs `manifest` for so many hosts and the wildcard, where that is given, and compares the warning.
#[track_caller]
fn check(hosts: usize, wildcard: Option<&str>, arguments: &[&str], expected: Option<&str>) {
    let hosts: Vec<String> = (0..hosts)
        .map(|number| format!("host-{number}.example.com"))
        .chain(wildcard.map(str::to_owned))
        .collect();
    let run = manifest(hosts, arguments).unwrap();
    assert_eq!(run.status, 0, "{}", run.talk);
    let warnings: Vec<&str> = run
        .talk
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .collect();
    assert_eq!(warnings, expected.as_slice(), "{}", run.talk);
}

#[test]
fn manifest_warns_of_a_configuration_that_takes_much_memory() {
    // A wildcard over 1,500 hosts is worth no warning, over 3,000 it is.
    check(1_500, Some(WILDCARD), &[], None);
    check(
        3_000,
        Some(WILDCARD),
        &[],
        Some(
            "Envoy keeps the configuration (28 kB) for each of 3001 filter chains: about 165 MiB in \
             each gateway pod, 331 MiB while it is replaced",
        ),
    );
    // Servers that do not overlap take memory only where all are listed.
    check(3_000, None, &[], None);
    check(
        3_000,
        None,
        &["--all-servers"],
        Some(
            "Envoy keeps the configuration (28 kB) for each of 3000 filter chains: about 165 MiB in \
             each gateway pod, 330 MiB while it is replaced",
        ),
    );
}
