//! What the packager says of clusters that it does not reach, or that do not know it.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, SigningKey as _};
use serde_json::{Value, json};
use tests::process::{Run, free_ports};
use tests::secrets::Pair;

use super::{codes, run, shared};

#[test]
fn what_cannot_be_reached_is_one_line() {
    let cluster = shared();
    let kubeconfig = cluster.kubectl().kubeconfig();
    let url = format!("https://127.0.0.1:{}", cluster.port());
    let port = free_ports(1).unwrap()[0];
    let closed = cluster.kubeconfig_with("closed", "administrator").unwrap();
    let text = fs::read_to_string(&closed).unwrap();
    fs::write(
        &closed,
        text.replace(&url, &format!("https://127.0.0.1:{port}")),
    )
    .unwrap();
    let wrong = cluster.kubeconfig_with("wrong", "wrong").unwrap();
    let broken = cluster.kubeconfig_with("broken", "\"secret").unwrap();
    let untrusted = cluster
        .kubeconfig_with("untrusted", "administrator")
        .unwrap();
    let other = Pair::generate(&["127.0.0.1"], 2100).unwrap();
    let authority = untrusted.with_extension("pem");
    fs::write(&authority, other.certificate).unwrap();
    let text = fs::read_to_string(&untrusted).unwrap();
    let own = cluster.certificate().certificate.to_str().unwrap();
    fs::write(&untrusted, text.replace(own, authority.to_str().unwrap())).unwrap();
    for (kubeconfig, context, expected) in [
        (
            kubeconfig,
            "production",
            "reading the kubeconfig: it has no context \"production\"".to_owned(),
        ),
        (
            &closed,
            "test",
            format!(
                "listing the kinds of resources of https://127.0.0.1:{port}: Connection refused (os error 111)"
            ),
        ),
        (
            &wrong,
            "test",
            format!(
                "listing the kinds of resources of {url}: the API server does not accept the credentials (401 Unauthorized)"
            ),
        ),
        (
            &untrusted,
            "test",
            format!("listing the kinds of resources of {url}: invalid peer certificate: "),
        ),
        (
            &broken,
            "test",
            "reading the kubeconfig: it is not YAML".to_owned(),
        ),
        (
            Path::new("/no/such"),
            "test",
            "reading the kubeconfig: /no/such: No such file or directory (os error 2)".to_owned(),
        ),
    ] {
        check_error(
            &run(kubeconfig, &["check", "--context", context]),
            &expected,
        );
    }
    let nowhere = run(Path::new("/no/such"), &["check"]);
    check_error(
        &nowhere,
        "reading the kubeconfig: /no/such: No such file or directory (os error 2), and the program does not run in a cluster",
    );
}

/// One line says what is wrong, and another what to do.
#[track_caller]
fn check_error(run: &Run, expected: &str) {
    assert_eq!((run.status, run.out.as_str()), (2, ""), "{expected}");
    let lines: Vec<&str> = run.talk.lines().collect();
    let [error, hint] = lines.as_slice() else {
        panic!("{expected}: {}", run.talk)
    };
    assert!(
        error.starts_with(&format!("error: {expected}")),
        "{expected}: {error}"
    );
    assert!(hint.starts_with("hint: "), "{hint}");
    assert!(!run.talk.contains("secret"), "{}", run.talk);
}

/// The token of a service account, and the same after its time.
#[test]
fn an_expired_token_is_one_line() {
    let cluster = shared();
    let kubectl = cluster.kubectl();
    kubectl
        .run(&["create", "serviceaccount", "visitor"])
        .unwrap();
    let binding = [
        "create",
        "clusterrolebinding",
        "visitor",
        "--clusterrole",
        "all-but-secrets",
    ];
    kubectl
        .run(&[&binding[..], &["--serviceaccount", "default:visitor"]].concat())
        .unwrap();
    let token = kubectl.run(&["create", "token", "visitor"]).unwrap();
    let valid = cluster.kubeconfig_with("valid", token.trim()).unwrap();
    assert_eq!(codes(&valid, &[]).0, ["SG203", "SG104"]);

    let key = fs::read_to_string(&cluster.certificate().key).unwrap();
    let key = KeyPair::from_pem(&key).unwrap();
    // Signed like that it is good, so that it is the time that makes the other no good.
    let again = signed(&key, token.trim(), |_| ());
    let again = cluster.kubeconfig_with("again", &again).unwrap();
    assert_eq!(codes(&again, &[]).0, ["SG203", "SG104"]);
    let expired = signed(&key, token.trim(), |claims| {
        for (name, age) in [("exp", 60), ("iat", 3_660), ("nbf", 3_660)] {
            claims[name] = json!(seconds_now() - age);
        }
    });
    let expired = cluster.kubeconfig_with("expired", &expired).unwrap();
    let url = format!("https://127.0.0.1:{}", cluster.port());
    let expected = format!(
        "listing the kinds of resources of {url}: the API server does not accept the credentials (401 Unauthorized)"
    );
    check_error(&run(&expired, &["check"]), &expected);
}

fn seconds_now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A token (RFC 7519) with other claims, signed as the API server signs: ES256 (RFC 7518 §3.4).
fn signed(key: &KeyPair, token: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut parts = token.split('.');
    let (header, claims) = (parts.next().unwrap(), parts.next().unwrap());
    let mut claims: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    change(&mut claims);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature = plain_signature(&key.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The two numbers of a signature, 32 octets each, out of their ASN.1 (RFC 3279 §2.2.3).
fn plain_signature(encoded: &[u8]) -> Vec<u8> {
    let mut rest = &encoded[2..];
    let mut numbers = Vec::new();
    while let [2, length, following @ ..] = rest {
        let (number, after) = following.split_at(usize::from(*length));
        let significant = &number[number.len().saturating_sub(32)..];
        numbers.extend(std::iter::repeat_n(0, 32 - significant.len()));
        numbers.extend(significant);
        rest = after;
    }
    numbers
}
