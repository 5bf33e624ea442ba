//! The model of gateways: what its cases in `gateways/`, which the suite `cases` runs, do not show.

mod explain;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use gateway::documents::read;
use gateway::{Model, Resources};
use tests::gateways::Case;

#[test]
fn servers_by_label() {
    for (case, expected) in [
        (
            "10-passthrough",
            vec![
                "istio-system/gw-a/https-a=a.example.com",
                "istio-system/gw-b/tls-b=b.example.com",
            ],
        ),
        (
            "11-mutual",
            vec![
                "istio-system/gw-b/https-b=b.example.com",
                "istio-system/gw-w/https-w=*.example.com",
            ],
        ),
        (
            "17-gateway-api",
            vec!["shop/public/a=a.example.com", "shop/public/b=b.example.com"],
        ),
        (
            "passthrough-names",
            vec![
                "istio-system/gw-b/tls-b=b.example.com c.example.com",
                "istio-system/gw-w/https-w=*.example.com",
            ],
        ),
        (
            "13-rejected",
            vec!["istio-system/gw-a/https-a=a.example.com"],
        ),
    ] {
        let model = Case::read(case).unwrap().model;
        let listener = model
            .workloads
            .iter()
            .flat_map(|workload| &workload.listeners)
            .next()
            .unwrap();
        let found: Vec<String> = listener
            .servers()
            .iter()
            .map(|(label, hosts)| format!("{label}={}", hosts.join(" ")))
            .collect();
        assert_eq!(found, expected, "{case}");
    }
}

/// A large cluster, once on one workload and once with a workload for each Gateway.
#[test]
fn a_large_cluster_takes_no_time() {
    for selector in ["ingressgateway", "{n}"] {
        let mut text = String::new();
        for n in 0..5_000 {
            let selector = selector.replace("{n}", &format!("gateway-{n}"));
            write!(
                text,
                "{{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"Gateway\",\"metadata\":\
                 {{\"name\":\"g{n}\"}},\"spec\":{{\"selector\":{{\"istio\":\"{selector}\"}},\
                 \"servers\":[{{\"port\":{{\"number\":443,\"name\":\"https\",\"protocol\":\"HTTPS\"}},\
                 \"hosts\":[\"h{n}.example.com\"],\"tls\":{{\"mode\":\"SIMPLE\"}}}}]}}}}\n---\n"
            )
            .unwrap();
        }
        for n in 0..10_000 {
            let gateway = n / 2;
            write!(
                text,
                "{{\"apiVersion\":\"networking.istio.io/v1\",\"kind\":\"VirtualService\",\"metadata\":\
                 {{\"name\":\"v{n}\"}},\"spec\":{{\"hosts\":[\"h{gateway}.example.com\"],\
                 \"gateways\":[\"g{gateway}\"],\"http\":[{{\"route\":[]}}]}}}}\n---\n"
            )
            .unwrap();
        }
        let mut resources = Resources::default();
        let faults = read("input.yaml", &text, &mut resources);
        assert!(faults.is_empty(), "{faults:?}");
        let start = Instant::now();
        let model = Model::new(&resources);
        let took = start.elapsed();
        let chains: usize = model
            .workloads
            .iter()
            .flat_map(|workload| &workload.listeners)
            .map(|listener| listener.chains.len())
            .sum();
        assert_eq!(chains, 5_000);
        // All pairs would be fifty million comparisons, minutes in a build like this one.
        assert!(took < Duration::from_secs(10), "{took:?}");
        println!("{selector}: {took:?}");
    }
}
