//! What the unit tests of the searches share.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use super::{Code, EXPIRES_WITHIN, Input, check};
use crate::documents::read;
use crate::{Certificates, Model, Resources};

/// The time of all checks.
fn now() -> DateTime<Utc> {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

pub(super) fn resources(text: &str) -> Resources {
    let mut resources = Resources::default();
    let faults = read("input.yaml", text, &mut resources);
    assert!(faults.is_empty(), "{faults:?}");
    resources
}

impl<'i> Input<'i> {
    /// The input of a check of files.
    pub(super) fn for_tests(
        resources: &'i Resources,
        model: &'i Model,
        certificates: &'i Certificates,
    ) -> Self {
        Self {
            resources,
            model,
            certificates,
            now: now(),
            has_all_secrets: false,
            has_all_gateways: false,
            expires_within: EXPIRES_WITHIN,
        }
    }
}

/// The messages of the findings with a code.
pub(super) fn messages(input: &Input<'_>, code: Code) -> Vec<String> {
    check(input)
        .findings
        .into_iter()
        .filter(|finding| finding.code == code)
        .map(|finding| finding.advice.message)
        .collect()
}

/// The messages of the findings with a code in files.
pub(super) fn messages_of(text: &str, code: Code) -> Vec<String> {
    let resources = resources(text);
    let model = Model::new(&resources);
    let certificates = Certificates::new(&resources);
    messages(&Input::for_tests(&resources, &model, &certificates), code)
}

/// The codes of the findings in files, with a duration for certificates that expire soon.
pub(super) fn codes_at(text: &str, expires_within: TimeDelta) -> Vec<Code> {
    let resources = resources(text);
    let model = Model::new(&resources);
    let certificates = Certificates::new(&resources);
    let input = Input {
        expires_within,
        ..Input::for_tests(&resources, &model, &certificates)
    };
    check(&input)
        .findings
        .into_iter()
        .map(|finding| finding.code)
        .collect()
}

/// A certificate for the Secret `istio-system/w`.
pub(super) struct Pki {
    names: Vec<String>,
    not_after: DateTime<Utc>,
}

impl Pki {
    /// A certificate for `*.example.com` that ends some days after the check.
    pub(super) fn valid_for(days: i64) -> Self {
        Self {
            names: vec!["*.example.com".into()],
            not_after: now() + TimeDelta::days(days),
        }
    }

    /// A certificate for names or IP addresses.
    pub(super) fn for_names(names: &[&str]) -> Self {
        Self {
            names: names.iter().map(ToString::to_string).collect(),
            ..Self::valid_for(365)
        }
    }

    /// A Gateway with one server that has these hosts and the certificate, and their routes.
    pub(super) fn server(self, hosts: &[&str]) -> String {
        let mut params = CertificateParams::new(self.names).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        // The test must not depend on the time at which it runs.
        let days = (self.not_after - DateTime::<Utc>::UNIX_EPOCH).num_days();
        params.not_after = date_time_ymd(1970, 1, 1)
            + core::time::Duration::from_secs(u64::try_from(days).unwrap() * 24 * 60 * 60);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let hosts = format!("{hosts:?}");
        format!(
            "{{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {{name: gw, namespace: istio-system}},\n \
             spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: 443, name: https, \
             protocol: HTTPS}}, hosts: {hosts}, tls: {{mode: SIMPLE, credentialName: w}}}}]}}}}\n---\n\
             {{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {{name: v, namespace: \
             istio-system}},\n spec: {{hosts: {hosts}, gateways: [gw], http: [{{route: []}}]}}}}\n---\n\
             {{apiVersion: v1, kind: Secret, metadata: {{name: w, namespace: istio-system}},\n \
             data: {{tls.crt: {}, tls.key: {}}}}}\n",
            STANDARD.encode(certificate.pem()),
            STANDARD.encode(key.serialize_pem())
        )
    }
}
