//! Whether an installed filter protects the requests for a host on a connection for another host.

use rule::{Action, Config, Decision, Facts, Gateway, Host, Policy, Route, lua};
use serde::Serialize;

use super::context::Context;
use super::installed_filter::InstalledFilter;
use crate::istio::Reach;
use crate::{Answer, FilterChain, Listener, Outcome, Workload};

/// What the installed filters do with misdirected requests, the weakest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// No filter runs there, or none rejects the requests.
    #[default]
    None,
    /// A filter runs there, and its action for the host is `off`.
    Off,
    /// A filter passes the requests, and counts and logs them.
    Reported,
    /// A filter answers 421.
    Enforced,
}

impl Protection {
    /// The name in output.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Off => "off",
            Self::Reported => "reported",
            Self::Enforced => "enforced",
        }
    }
}

/// The filters of a listener that are attached for certain and have a valid configuration.
pub(super) struct ListenerGuard<'c> {
    listener: &'c Listener,
    filters: Vec<(&'c InstalledFilter<'c>, &'c Config)>,
}

impl<'c> ListenerGuard<'c> {
    pub(super) fn new(
        context: &'c Context<'_>,
        workload: &Workload,
        listener: &'c Listener,
    ) -> Self {
        let mut filters = Vec::new();
        for filter in &context.installed_filters {
            let is_attached = filter.installation.reach(workload) == Reach::Yes
                && filter.installation.runs_on(listener) == Reach::Yes;
            match &filter.policy {
                Policy::Active(config) if is_attached => filters.push((filter, &**config)),
                // An invalid configuration passes every request.
                Policy::Active(_) | Policy::Invalid(_) => {}
            }
        }
        Self { listener, filters }
    }

    /// Whether no filter runs on the listener.
    pub(super) fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// What the filters do with a request for an authority on a connection with an SNI. Of several filters the
    /// strongest counts, since each of them reads the request.
    pub(super) fn protection(&self, sni: &str, authority: &str) -> Protection {
        self.protection_by(sni, authority, |_| true)
    }

    /// The same for the filters that read the request before an AuthorizationPolicy denies it.
    pub(super) fn protection_before_policies(&self, sni: &str, authority: &str) -> Protection {
        self.protection_by(sni, authority, |filter| {
            filter.installation.precedes_policies()
        })
    }

    fn protection_by(
        &self,
        sni: &str,
        authority: &str,
        counts: fn(&InstalledFilter<'_>) -> bool,
    ) -> Protection {
        if self.filters.is_empty() {
            return Protection::None;
        }
        // Envoy runs HTTP filters only if it terminates TLS and reads the request.
        let answer = self.listener.answer(sni.as_bytes(), authority.as_bytes());
        match (answer.outcome, answer.chain) {
            (Outcome::Served | Outcome::NotFound, Some(chain)) => {
                self.protection_in(chain, &facts(&answer, sni, authority), counts)
            }
            (
                Outcome::Served
                | Outcome::NotFound
                | Outcome::Reset
                | Outcome::Passthrough
                | Outcome::Tcp,
                _,
            ) => Protection::None,
        }
    }

    fn protection_in(
        &self,
        chain: &FilterChain,
        facts: &Facts<'_>,
        counts: fn(&InstalledFilter<'_>) -> bool,
    ) -> Protection {
        self.filters
            .iter()
            .filter(|(filter, _)| counts(filter))
            .filter(|(filter, _)| filter.installation.runs_in(self.listener, chain) == Reach::Yes)
            .map(|(filter, config)| {
                if filter.is_script() {
                    decided(config, &lua::seen_by_script(*facts))
                } else {
                    decided(config, facts)
                }
            })
            .max()
            .unwrap_or_default()
    }
}

/// A request as the filter sees it: a GET over HTTP/2, which browsers send on a coalesced connection.
fn facts<'r>(answer: &Answer<'_>, sni: &'r str, authority: &'r str) -> Facts<'r> {
    let route = answer.route();
    Facts {
        route,
        // A virtual host counts as a route for the path.
        has_route: route == Route::Matched,
        ..Facts::new(sni.as_bytes(), authority.as_bytes())
    }
}

/// The decision of the filter itself. So a table that lacks a server of the pair leads to a pass.
fn decided(config: &Config, facts: &Facts<'_>) -> Protection {
    // A host that is switched off is not compared at all, whatever the table lists.
    if config.action_for(Host::from_authority(facts.authority)) == Action::Off {
        return Protection::Off;
    }
    // Facts answer every question, so the decision cannot fail.
    let Ok(decision) = config.decide(Gateway::Istio, facts);
    match decision {
        Decision::Reject(_) => Protection::Enforced,
        Decision::Report(_) => Protection::Reported,
        Decision::Pass(_) => Protection::None,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::{ListenerGuard, Protection};
    use crate::documents::read;
    use crate::findings::Input;
    use crate::findings::context::Context;
    use crate::{Certificates, Model, Resources};

    const TWO_GATEWAYS: &str = include_str!("../../../tests/gateways/01-one-secret.yaml");
    const WILDCARD: &str = include_str!("../../../tests/gateways/07-wildcard-route.yaml");
    const PASSTHROUGH: &str = include_str!("../../../tests/gateways/10-passthrough.yaml");
    const GATEWAY_API: &str = include_str!("../../../tests/gateways/17-gateway-api.yaml");
    const OUR_SCRIPT: &str = include_str!("../../../manifests/lua/envoyfilter.yaml");

    /// A WasmPlugin for the ingress gateway with some fields of `spec`.
    fn plugin(spec: &str) -> String {
        format!(
            "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
             metadata: {{name: sni-guard, namespace: istio-system}}\n\
             spec: {{url: 'oci://example.com/sni-guard:1', \
             selector: {{matchLabels: {{istio: ingressgateway}}}}, {spec}}}\n"
        )
    }

    /// The protection of requests for `authority` on a connection for `sni`, on the only listener.
    fn found(gateways: &str, filters: &str, sni: &str, authority: &str) -> Protection {
        let mut resources = Resources::default();
        let faults = read(
            "input.yaml",
            format!("{gateways}\n{filters}"),
            &mut resources,
        );
        assert_eq!(faults, []);
        let model = Model::new(&resources);
        let input = Input {
            resources: &resources,
            model: &model,
            certificates: &Certificates::new(&resources),
            now: DateTime::UNIX_EPOCH,
            has_all_secrets: false,
            has_all_gateways: false,
            expires_within: crate::findings::EXPIRES_WITHIN,
        };
        let workload = model.workloads.first().unwrap();
        let listener = workload.listeners.first().unwrap();
        ListenerGuard::new(&Context::new(&input), workload, listener).protection(sni, authority)
    }

    #[track_caller]
    fn check(filters: &str, expected: Protection) {
        let found = found(TWO_GATEWAYS, filters, "a.example.com", "b.example.com");
        assert_eq!(found, expected, "{filters}");
    }

    #[test]
    fn the_action_for_the_host_decides() {
        check("", Protection::None);
        check(&plugin(""), Protection::Enforced);
        for (config, expected) in [
            ("action: enforce", Protection::Enforced),
            ("action: report", Protection::Reported),
            ("action: 'off'", Protection::Off),
            ("hosts: {b.example.com: report}", Protection::Reported),
            ("hosts: {b.example.com: 'off'}", Protection::Off),
            (
                "hosts: {'*.example.com': 'off', b.example.com: enforce}",
                Protection::Enforced,
            ),
            // The action of the connection's host does not matter.
            ("hosts: {a.example.com: 'off'}", Protection::Enforced),
            ("rule: exact", Protection::Enforced),
        ] {
            check(&plugin(&format!("pluginConfig: {{{config}}}")), expected);
        }
    }

    #[test]
    fn settings_that_let_the_request_pass_do_not_protect() {
        for config in [
            // Invalid: the filter passes everything.
            "action: maybe",
            "unknown: 1",
            // Browsers send HTTP/2.
            "protocols: [h1]",
            "trustedSni: [a.example.com]",
            // The table has both hosts on one server.
            "servers: {one: [a.example.com, b.example.com]}",
        ] {
            let filter = plugin(&format!("pluginConfig: {{{config}}}"));
            check(&filter, Protection::None);
        }
    }

    #[test]
    fn only_an_attached_filter_protects() {
        let enforced = plugin("match: [{mode: CLIENT, ports: [{number: 8443}]}]");
        check(&enforced, Protection::Enforced);
        for spec in [
            "match: [{ports: [{number: 443}]}]",
            "match: [{mode: SERVER}]",
            "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: gw-a}]",
            "targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: gw-a}",
        ] {
            check(&plugin(spec), Protection::None);
        }
        let elsewhere = plugin("").replace("namespace: istio-system", "namespace: shop");
        check(&elsewhere, Protection::None);
        let others = plugin("").replace("istio: ingressgateway", "istio: other");
        check(&others, Protection::None);
        // Neither the image nor the name is ours.
        let foreign = plugin("").replace("sni-guard", "waf");
        check(&foreign, Protection::None);
    }

    #[test]
    fn references_need_the_group_and_the_namespace_of_the_gateway() {
        let right = "group: gateway.networking.k8s.io, kind: Gateway, name: public";
        let extension = |kind: &str, spec: &str| {
            format!(
                "---\n{{apiVersion: extensions.istio.io/v1alpha1, kind: {kind}, \
                 metadata: {{name: sni-guard, namespace: shop}}, spec: {{{spec}}}}}"
            )
        };
        let script = OUR_SCRIPT
            .replace("namespace: istio-system", "namespace: shop")
            .replace("workloadSelector:\n    labels:", "targetRefs:\n    -")
            .replace("istio: ingressgateway", &format!("{{{right}}}"));
        let wasm = "wasm: {url: 'oci://example.com/sni-guard:1'}";
        for (filter, expected) in [
            (
                extension("WasmPlugin", &format!("targetRefs: [{{{right}}}]")),
                Protection::Enforced,
            ),
            (
                extension("WasmPlugin", &format!("targetRef: {{{right}}}")),
                Protection::Enforced,
            ),
            (
                extension(
                    "WasmPlugin",
                    &format!("targetRefs: [{{{right}, namespace: shop}}]"),
                ),
                Protection::Enforced,
            ),
            (
                extension(
                    "WasmPlugin",
                    &format!("targetRefs: [{{{right}, namespace: other}}]"),
                ),
                Protection::None,
            ),
            (
                extension("WasmPlugin", "targetRefs: [{kind: Gateway, name: public}]"),
                Protection::None,
            ),
            (
                extension(
                    "WasmPlugin",
                    "targetRefs: [{group: networking.istio.io, kind: Gateway, name: public}]",
                ),
                Protection::None,
            ),
            (
                extension(
                    "TrafficExtension",
                    &format!("{wasm}, targetRefs: [{{{right}}}]"),
                ),
                Protection::Enforced,
            ),
            (format!("---\n{script}"), Protection::Enforced),
            (
                format!("---\n{}", script.replace("name: public", "name: other")),
                Protection::None,
            ),
        ] {
            let found = found(GATEWAY_API, &filter, "a.example.com", "b.example.com");
            assert_eq!(found, expected, "{filter}");
        }
    }

    #[test]
    fn a_plugin_with_a_revision_is_for_its_pods() {
        let pods = "---\n{apiVersion: v1, kind: Pod, metadata: {name: gateway-0, namespace: istio-system, labels: \
                    {istio: ingressgateway, istio.io/rev: canary}}, spec: {containers: [{name: istio-proxy}]}}\n";
        let labelled = |value: &str| {
            let plugin = plugin("");
            plugin.replace(
                "name: sni-guard,",
                &format!("name: sni-guard, labels: {{istio.io/rev: '{value}'}},"),
            )
        };
        for (revision, expected) in [
            ("canary", Protection::Enforced),
            ("stable", Protection::None),
            ("", Protection::None),
        ] {
            let gateways = format!("{TWO_GATEWAYS}\n{pods}");
            let found = found(
                &gateways,
                &labelled(revision),
                "a.example.com",
                "b.example.com",
            );
            assert_eq!(found, expected, "{revision}");
        }
    }

    #[test]
    fn of_two_filters_the_stronger_counts() {
        let report = plugin("pluginConfig: {action: report}");
        let other = |text: String| text.replace("name: sni-guard", "name: sni-guard-2");
        check(&(report.clone() + &other(plugin(""))), Protection::Enforced);
        let off = other(plugin("pluginConfig: {action: 'off'}"));
        check(&(report.clone() + &off), Protection::Reported);
        let invalid = other(plugin("pluginConfig: {action: maybe}"));
        check(&(report + &invalid), Protection::Reported);
    }

    #[test]
    fn a_wrong_route_needs_a_table_of_servers() {
        let check = |config: &str, expected| {
            let filter = plugin(&format!("pluginConfig: {{{config}}}"));
            let found = found(WILDCARD, &filter, "x.example.com", "b.example.com");
            assert_eq!(found, expected, "{config}");
        };
        check("", Protection::None);
        check(
            "servers: {w: ['*.example.com'], b: [b.example.com]}",
            Protection::Enforced,
        );
        // An old table without the server of b.
        check("servers: {w: ['*.example.com']}", Protection::None);
        check(
            "action: report, servers: {w: ['*.example.com'], b: [b.example.com]}",
            Protection::Reported,
        );
        // The operator switched the filter off, so the table does not matter.
        check("hosts: {b.example.com: 'off'}", Protection::Off);
        check("rule: exact", Protection::Enforced);
    }

    #[test]
    fn envoy_runs_no_filter_without_a_request() {
        // b passes through: Envoy reads no requests on its connections, and answers those on a.
        let both = |sni, authority| found(PASSTHROUGH, &plugin(""), sni, authority);
        assert_eq!(both("b.example.com", "a.example.com"), Protection::None);
        assert_eq!(both("a.example.com", "b.example.com"), Protection::Enforced);
        assert_eq!(both("a.example.com", "a.example.com"), Protection::None);
        assert_eq!(both("none.example.com", "a.example.com"), Protection::None);
    }

    #[test]
    fn our_script_counts() {
        let script = format!("---\n{OUR_SCRIPT}");
        check(&script, Protection::Enforced);
        for (old, new, expected) in [
            (
                "local action = \"enforce\"",
                "local action = \"report\"",
                Protection::Reported,
            ),
            (
                "local hosts = \"\"",
                "local hosts = \"b.example.com=off\"",
                Protection::Off,
            ),
            (
                "local protocols = \"h2 h3\"",
                "local protocols = \"h3\"",
                Protection::None,
            ),
            (
                "context: GATEWAY",
                "context: SIDECAR_INBOUND",
                Protection::None,
            ),
            (
                "listener:\n",
                "listener:\n        portNumber: 8443\n",
                Protection::Enforced,
            ),
            (
                "listener:\n",
                "listener:\n        portNumber: 443\n",
                Protection::None,
            ),
            (
                "listener:\n",
                "listener:\n        name: 0.0.0.0_8443\n",
                Protection::Enforced,
            ),
            (
                "filterChain:\n",
                "filterChain:\n          sni: a.example.com\n",
                Protection::Enforced,
            ),
            (
                "filterChain:\n",
                "filterChain:\n          sni: b.example.com\n",
                Protection::None,
            ),
            // Whether the proxies have this version is not in the input.
            (
                "match:\n",
                "match:\n      proxy: {proxyVersion: '^1\\.31.*'}\n",
                Protection::None,
            ),
            (
                "operation: INSERT_FIRST",
                "operation: REMOVE",
                Protection::None,
            ),
            ("istio: ingressgateway", "istio: other", Protection::None),
            // A changed script may do anything.
            (
                "local action = \"enforce\"",
                "local action = read_action()",
                Protection::None,
            ),
            ("return value or", "return value and", Protection::None),
        ] {
            let changed = script.replace(old, new);
            assert_ne!(changed, script, "{old}");
            check(&changed, expected);
        }
        // The form of the script counts, and not the name of its resource.
        check(
            &script.replace("name: sni-guard", "name: other"),
            Protection::Enforced,
        );
        check(
            &script.replace("-- sni-guard", "-- other"),
            Protection::None,
        );
    }
}
