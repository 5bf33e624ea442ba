//! The filter: reads what Envoy knows of a request, lets [`rule`] decide, and acts on it.
//!
//! It runs in front of all the traffic of a gateway. So it never traps, never refuses a
//! configuration (Envoy would answer 500 to everything on every gateway that starts afterwards),
//! and asks Envoy for no more than the decision needs: the calls into Envoy are what a request
//! costs.
//!
//! The SDK starts the module. Its objects for configurations and requests are
//! not used: the module `contexts` says why. `packager build` gives the filter's callbacks Envoy's names.

mod abi;
mod attributes;
mod callbacks;
mod configuration;
mod contexts;
mod log_sink;
mod memory;
mod metrics;
mod mismatch;
mod reply;

use std::cell::Cell;
use std::time::Duration;

use log::error;
use proxy_wasm::types::Action;
use rule::{Config, Decision, Judgement, Pass, Path, Policy};

use crate::abi::Refused;
use crate::metrics::Metrics;
use crate::mismatch::MismatchLog;

mod entry {
    proxy_wasm::main! {{
        crate::log_sink::install();
    }}
}

/// What all requests of one configuration share.
struct Guard {
    policy: Policy,
    path: Path,
    metrics: Metrics,
    mismatches: MismatchLog,
    /// A host that refuses one call may refuse every call: it is told once.
    told_of_refusal: Cell<bool>,
}

impl Guard {
    fn new(policy: Policy) -> Self {
        let metrics = Metrics::define();
        metrics.set_config_invalid(policy.config().is_err());
        configuration::announce(&policy);
        Self {
            path: policy.config().map_or(Path::Full, Config::path),
            policy,
            metrics,
            mismatches: MismatchLog::every(Duration::from_secs(1)),
            told_of_refusal: Cell::new(false),
        }
    }

    /// Decides on the request that Envoy is asking about.
    fn on_request_headers(&self) -> Action {
        self.handle()
            .unwrap_or_else(|refused| self.pass_unknown(refused))
    }

    fn handle(&self) -> Result<Action, Refused> {
        let config = match self.policy.config() {
            Ok(config) => config,
            Err(pass) => return Ok(self.pass(pass)),
        };
        if self.path == Path::Fast && attributes::has_route()? {
            return Ok(Action::Continue);
        }
        let sni = attributes::sni()?;
        let authority = attributes::authority()?;
        let suspect = match config.judge(&sni, &authority) {
            Judgement::Pass(pass) => return Ok(self.pass(pass)),
            Judgement::Suspect(suspect) => suspect,
        };
        let facts = attributes::facts(suspect.reason)?;
        let decision = config.settle(suspect, facts);
        let action = match decision {
            Decision::Pass(pass) => return Ok(self.pass(pass)),
            Decision::Report(misdirection) => {
                self.metrics.count_reported(misdirection);
                Action::Continue
            }
            Decision::Reject(misdirection) => {
                let action = reply::send(misdirection, facts)?;
                self.metrics.count_enforced(misdirection);
                action
            }
        };
        self.mismatches
            .add(config, &sni, &authority, suspect.reason, decision);
        Ok(action)
    }

    fn pass(&self, pass: Pass) -> Action {
        self.metrics.count_passed(pass);
        Action::Continue
    }

    /// Of a request that Envoy does not tell enough about, nothing can be held against it.
    fn pass_unknown(&self, Refused(status): Refused) -> Action {
        if !self.told_of_refusal.replace(true) {
            error!("a call into Envoy failed with status {status}, the request passes");
        }
        Action::Continue
    }
}
