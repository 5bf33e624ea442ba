//! One configuration of the filter, and what it does with requests.

use std::cell::Cell;
use std::hash::Hasher as _;

use fnv::FnvHasher;
use log::{debug, error, warn};
use proxy_wasm::types::Action;
use rule::{Decision, Gateway, Misdirection, Pass, Policy, Request as _};

use super::abi::{self, Status};
use super::configuration::{self, Configuration};
use super::gauge::Gauged;
use super::metrics::Metrics;
use super::reply;
use super::request::EnvoyRequest;
use crate::leases::ConfigIdentity;
use crate::log_limit::LogLimit;
use crate::log_line::Mismatch;

thread_local! {
    /// For all configurations of this worker.
    static WARNINGS: LogLimit = const { LogLimit::new() };
}

/// The name of the filter state, after `wasm.`, with the reason of a misdirected request that passes because
/// the action is `report`.
const REPORTED: &str = "sni_guard_reported";

/// What all requests of one configuration share.
pub(crate) struct Guard {
    policy: Policy,
    gateway: Gateway,
    metrics: Metrics,
    gauged: Gauged,
    /// A host that refuses one call may refuse every call, so only the first is logged.
    has_logged_refusal: Cell<bool>,
}

impl Guard {
    /// Reads the configuration that Envoy has for the root context of this callback.
    pub(crate) fn configure() -> Self {
        let Configuration { policy, bytes } = configuration::read();
        let gateway = configuration::gateway();
        configuration::announce(&policy, gateway);
        let metrics = Metrics::define();
        let is_invalid = matches!(policy, Policy::Invalid(_));
        let gauged = Gauged::new(identity(&bytes), is_invalid, metrics.config_invalid);
        gauged.start();
        Self {
            policy,
            gateway,
            metrics,
            gauged,
            has_logged_refusal: Cell::new(false),
        }
    }

    /// Keeps the gauge of invalid configurations current.
    pub(crate) fn on_tick(&self) {
        self.gauged.tick();
    }

    /// Decides on the request that Envoy is asking about.
    pub(crate) fn on_request_headers(&self) -> Action {
        self.handle().unwrap_or_else(|status| self.pass(status))
    }

    fn handle(&self) -> Result<Action, Status> {
        let request = EnvoyRequest::default();
        match self.policy.decide(self.gateway, &request)? {
            Decision::Pass(Pass::RouteFound | Pass::Equal) => Ok(Action::Continue),
            Decision::Pass(pass) => {
                self.metrics.count_passed(pass);
                Ok(Action::Continue)
            }
            decision @ Decision::Report(reason) => {
                self.metrics.count_reported(reason);
                // The access log has the reason less, and nothing else changes.
                let _ = abi::set_property(REPORTED, reason.name());
                self.log(&request, reason, decision)?;
                Ok(Action::Continue)
            }
            decision @ Decision::Reject(reason) => {
                reply::send(reason, request.is_grpc()?)?;
                self.metrics.count_enforced(reason);
                // The reply is sent: a failure to log must not let the request go on.
                let _ = self.log(&request, reason, decision);
                Ok(Action::Pause)
            }
        }
    }

    /// Logs a misdirected request: each at debug level, and one per second at warn level.
    fn log(
        &self,
        request: &EnvoyRequest,
        reason: Misdirection,
        decision: Decision,
    ) -> Result<(), Status> {
        let Policy::Active(config) = &self.policy else {
            return Ok(());
        };
        let line = Mismatch {
            config,
            sni: request.sni()?,
            authority: request.authority()?,
            reason,
            decision,
        };
        debug!("{line}");
        let now = abi::now_nanoseconds().unwrap_or_default();
        if let Some(suppressed) = WARNINGS.with(|warnings| warnings.admit(now)) {
            warn!("{line}, suppressed {suppressed}");
        }
        Ok(())
    }

    /// Lets the request pass because a call into Envoy failed.
    fn pass(&self, Status(status): Status) -> Action {
        if !self.has_logged_refusal.replace(true) {
            error!("a call into Envoy failed with status {status}, the request passes");
        }
        Action::Continue
    }
}

/// The configuration of the root context of this callback, by the name of the plugin and by its text.
fn identity(text: &[u8]) -> ConfigIdentity {
    let mut plugin = FnvHasher::default();
    for path in ["plugin_name", "plugin_root_id"] {
        plugin.write(abi::property(path).as_deref().unwrap_or_default());
        // No name has a NUL, so that two names do not run together.
        plugin.write_u8(0);
    }
    let mut hasher = FnvHasher::default();
    hasher.write(text);
    ConfigIdentity {
        plugin: plugin.finish(),
        text: hasher.finish(),
    }
}
