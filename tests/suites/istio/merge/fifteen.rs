//! Scenario 22: fifteen Gateways of six teams. One demands a client certificate, and one has routes for all hosts
//! and the wildcard above the hosts of the others.

use std::fs;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::certificate::Certificate;
use tests::client::{Connection, GET, Transport, block_on};
use tests::istio::{Pod, Stack, Traffic, wait_for};
use tests::process::{Run, free_ports, packager, packager_with_input};

use super::script::run_script;
use super::{Shop, path, summary};

const SHOP: &str = "fifteen";
const TEAMS: [&str; 6] = [
    "checkout", "content", "identity", "media", "platform", "web",
];
const MERGED: [&str; 13] = [
    "shop", "cart", "login", "blog", "news", "api", "admin", "docs", "status", "mail", "img",
    "video", "search",
];
/// The hosts of the servers that cannot be merged: one below the catch-all wildcard, and one with mutual TLS.
const OTHERS: [&str; 2] = ["x.example.com", "pay.example.com"];

/// The Gateways of the scenario, and the certificate that all servers and clients have.
fn open() -> (Shop, Certificate) {
    let stack = Stack::shared().unwrap();
    let folder = TempDir::new().unwrap();
    let certificate = Certificate::generate_authority(folder.path(), &["*.example.com"]).unwrap();
    let port = *free_ports(1).unwrap().first().unwrap();
    let shop = include_str!("../../../istio/shop.yaml")
        .replace("$NAME", SHOP)
        .replace("$PORT", &port.to_string());
    stack.kubectl().apply(&shop).unwrap();
    // The older of two VirtualServices for a host wins, so the catch-all would take the hosts of a common server.
    let catch_all = ["catch-all", "*.example.com", "SIMPLE", OTHERS[0]];
    apply(&stack, &certificate, 2, catch_all);
    // The API server's clock has seconds.
    sleep(Duration::from_millis(1100));
    for (index, label) in MERGED.iter().enumerate() {
        let host = format!("{label}.example.com");
        apply(&stack, &certificate, index, [label, &host, "SIMPLE", &host]);
    }
    let mutual = format!(
        "MUTUAL, caCertificates: {}",
        certificate.certificate.display()
    );
    apply(
        &stack,
        &certificate,
        2,
        ["pay", OTHERS[1], &mutual, OTHERS[1]],
    );

    let merged = MERGED.iter().map(|label| format!("{label}.example.com"));
    let shop = Shop {
        name: SHOP,
        hosts: merged.chain(OTHERS.map(str::to_owned)).collect(),
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        folder,
        pod: Pod::start(&stack, SHOP, 0).unwrap(),
        stack,
    };
    for host in &shop.hosts {
        wait_for(host, &Some(200), || fresh(&shop, &certificate, host)).unwrap();
    }
    (shop, certificate)
}

fn apply(
    stack: &Stack,
    certificate: &Certificate,
    team: usize,
    [name, host, mode, body]: [&str; 4],
) {
    let resources = include_str!("../../../istio/fifteen.yaml")
        .replace("$TEAM", &format!("{SHOP}-{}", TEAMS[team % TEAMS.len()]))
        .replace("$SHOP", SHOP)
        .replace("$NAME", name)
        .replace("$HOST", host)
        .replace("$MODE", mode)
        .replace("$BODY", body)
        .replace("$CERTIFICATE", certificate.certificate.to_str().unwrap())
        .replace("$KEY", certificate.key.to_str().unwrap());
    stack.kubectl().apply(&resources).unwrap();
}

fn fresh(shop: &Shop, certificate: &Certificate, host: &str) -> Option<u16> {
    block_on(async {
        let transport = Transport::MutualTls(Some(host), certificate);
        let mut connection = Connection::h2(shop.address, transport).await?;
        Ok(connection.send(&GET, host).await?.status)
    })
    .ok()
}

/// The resources of the scenario as the cluster has them.
fn resources(shop: &Shop) -> Value {
    let kinds = "gateways.networking.istio.io,virtualservices,services,pods";
    let text = shop
        .kubectl()
        .run(&["get", kinds, "--all-namespaces", "-o", "json"])
        .unwrap();
    let mut list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array_mut().unwrap().retain(|item| {
        item["metadata"]["namespace"]
            .as_str()
            .is_some_and(|namespace| namespace.starts_with(SHOP))
    });
    list
}

/// The same with a Secret instead of files, so that the contents of the certificate are known.
fn with_secret(mut list: Value, certificate: &Certificate) -> Value {
    let items = list["items"].as_array_mut().unwrap();
    for item in items.iter_mut().filter(|item| item["kind"] == "Gateway") {
        let tls = item["spec"]["servers"][0]["tls"].as_object_mut().unwrap();
        for field in ["serverCertificate", "privateKey", "caCertificates"] {
            tls.remove(field);
        }
        tls.insert("credentialName".to_owned(), "wildcard".into());
    }
    let pem = |path| fs::read_to_string(path).unwrap();
    items.push(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": "wildcard", "namespace": SHOP },
        "type": "kubernetes.io/tls",
        "stringData": {
            "tls.crt": pem(&certificate.certificate),
            "tls.key": pem(&certificate.key),
        },
    }));
    list
}

/// The report of `check` on the resources, with the installed filter if there is a manifest of it.
fn check(resources: &Value, filter: &str) -> Run {
    let input = format!("{filter}\n---\n{resources}\n");
    packager_with_input(&["check", "-"], &input)
}

#[test]
fn fifteen_gateways_are_merged_under_load() {
    let (shop, certificate) = open();
    let input = shop.folder.path().join("resources.json");
    let start = resources(&shop);
    let before = check(&with_secret(start.clone(), &certificate), "");
    assert_eq!(before.status, 1, "{}", before.out);

    fs::write(&input, start.to_string()).unwrap();
    let plan = shop.folder.path().join("plan");
    let planned = packager(&[
        "merge",
        input.to_str().unwrap(),
        "--assume-same-certificate",
        "--into",
        plan.to_str().unwrap(),
    ]);
    let out = &planned.out;
    assert_eq!(planned.status, 0, "{out}{}", planned.talk);
    assert_eq!(out.matches("\nset aside: ").count(), 2, "{out}");
    assert!(out.contains("plan: seamless"), "{out}");

    let hosts: Vec<&str> = shop.hosts.iter().map(String::as_str).collect();
    // The script needs the packager, which may have to be built.
    let _ = path();
    let pause = Duration::from_millis(50);
    let traffic = Traffic::start_with(shop.address, &hosts, pause, Some(&certificate));
    let options = ["--wait", "1", "--probes", "1", "--drain", "6"];
    let (status, lines) = run_script(&shop, &plan, &options);
    let merged = traffic.end().unwrap();
    println!("{}", summary("fifteen", &merged));
    let (first, last) = (lines.first().unwrap().0, lines.last().unwrap().0);
    let rejected = shop
        .pod
        .admin("/stats?filter=listener_manager.lds.update_rejected")
        .unwrap();
    println!("{}", rejected.trim());
    println!("{} lines in {:?}", lines.len(), last - first);
    assert!(status.success(), "{lines:#?}");
    assert!(merged.failures.is_empty(), "{:?}", merged.failures);
    assert!(merged.requests() >= 10_000, "{merged:?}");
    for sni in &MERGED {
        for authority in &MERGED {
            let [sni, authority] = [sni, authority].map(|label| format!("{label}.example.com"));
            assert_eq!(
                shop.status(&sni, &authority),
                Some(200),
                "{sni} {authority}"
            );
        }
    }

    // The filter covers the servers that are not merged.
    let end = with_secret(resources(&shop), &certificate);
    fs::write(&input, end.to_string()).unwrap();
    let manifest = packager(&[
        "manifest",
        "--image",
        "ghcr.io/owner/sni-guard:0.1.0",
        "--allow-mutable",
        "--namespace",
        SHOP,
        "--selector",
        &format!("istio={SHOP}"),
        "--from",
        input.to_str().unwrap(),
    ]);
    assert_eq!(manifest.status, 0, "{}", manifest.talk);
    assert_eq!(check(&end, "").status, 1);
    let after = check(&end, &manifest.out);
    assert_eq!(after.status, 0, "{}{}", after.out, after.talk);
}
