//! The filter: reads what Envoy knows of a request, lets [`rule`] decide, and acts on it.
//!
//! It runs in front of all the traffic of a gateway. So it never traps, never refuses a
//! configuration (Envoy would answer 500 to everything on every gateway that starts afterwards),
//! and asks Envoy for no more than the decision needs: the calls into Envoy are what a request
//! costs.

mod abi;
mod attributes;
mod configuration;
mod log_sink;
mod metrics;
mod mismatch;
mod reply;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use log::error;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};
use rule::{Config, Decision, Judgement, Pass, Path, Policy};

use crate::abi::Refused;
use crate::metrics::Metrics;
use crate::mismatch::MismatchLog;

mod entry {
    proxy_wasm::main! {{
        crate::log_sink::install();
        proxy_wasm::set_root_context(|_| Box::new(crate::Root { guard: None }));
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

/// One configuration of the plugin in one worker.
struct Root {
    guard: Option<Rc<Guard>>,
}

impl Context for Root {}

impl RootContext for Root {
    /// Always accepts; see the head of the file.
    fn on_configure(&mut self, _size: usize) -> bool {
        let policy = configuration::read();
        let metrics = Metrics::define();
        metrics.set_config_invalid(policy.config().is_err());
        configuration::announce(&policy);
        self.guard = Some(Rc::new(Guard {
            path: policy.config().map_or(Path::Full, Config::path),
            policy,
            metrics,
            mismatches: MismatchLog::every(Duration::from_secs(1)),
            told_of_refusal: Cell::new(false),
        }));
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { guard: self.guard.clone() }))
    }
}

/// One request.
struct Request {
    guard: Option<Rc<Guard>>,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let Some(guard) = self.guard.as_deref() else { return Action::Continue };
        guard.handle().unwrap_or_else(|refused| guard.pass_unknown(refused))
    }
}

impl Guard {
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
        self.mismatches.add(config, &sni, &authority, suspect.reason, decision);
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
