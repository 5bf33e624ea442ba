//! The decision: from a configuration, an SNI and an authority to an answer and its reason.

use alloc::boxed::Box;

use crate::config::{Action, Config, Rule, Servers, Treatment};
use crate::facts::{Facts, Route};
use crate::fault::Faults;
use crate::host::Host;
use crate::reason::{Misdirection, Pass};

/// What a running filter goes by.
#[derive(Clone, Debug)]
pub enum Policy {
    /// A configuration in force.
    Active(Box<Config>),
    /// No configuration: every request passes. Refusing to start instead would make every gateway
    /// pod that starts afterwards answer 500 to everything.
    Invalid(Faults),
}

/// What the SNI and the authority alone say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The request passes, whatever else is true of it.
    Pass(Pass),
    /// It is misdirected unless its [`Facts`] say otherwise.
    Suspect(Suspect),
}

/// A request that looks misdirected, with what is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Why it looks misdirected.
    pub reason: Misdirection,
    action: Action,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The request passes.
    Pass(Pass),
    /// It is misdirected and passes, counted and logged, because the action says `report`.
    Report(Misdirection),
    /// It is answered 421.
    Reject(Misdirection),
}

impl Policy {
    /// The configuration in force.
    ///
    /// # Errors
    /// There is none, and every request passes for that reason.
    pub fn config(&self) -> Result<&Config, Pass> {
        match self {
            Self::Active(config) => Ok(config),
            Self::Invalid(_) => Err(Pass::InvalidConfig),
        }
    }
}

impl From<Result<Config, Faults>> for Policy {
    fn from(config: Result<Config, Faults>) -> Self {
        config.map_or_else(Self::Invalid, |config| Self::Active(Box::new(config)))
    }
}

impl Config {
    /// Compares an SNI, empty when there was none, with an authority, both as they came. The order
    /// of the steps is the precedence of their reasons.
    #[must_use]
    pub fn judge(&self, sni: &[u8], authority: &[u8]) -> Judgement {
        let host = Host::from_authority(authority);
        let Some(sni) = Host::from_sni(sni) else {
            return self.without_sni(host);
        };
        let Some(host) = host else {
            return Judgement::Pass(Pass::Unparsable);
        };
        if sni == host {
            return Judgement::Pass(Pass::Equal);
        }
        if self.trusted_sni.best(sni).is_some() {
            return Judgement::Pass(Pass::TrustedSni);
        }
        let action = self.action_for(Some(host));
        if action == Action::Off {
            return Judgement::Pass(Pass::Off);
        }
        match self.compare(sni, host) {
            Ok(pass) => Judgement::Pass(pass),
            Err(reason) => Judgement::Suspect(Suspect { reason, action }),
        }
    }

    fn without_sni(&self, host: Option<Host<'_>>) -> Judgement {
        match self.missing_sni {
            Treatment::Pass => Judgement::Pass(Pass::NoSni),
            Treatment::Reject => Judgement::Suspect(Suspect {
                reason: Misdirection::NoSni,
                action: self.action_for(host),
            }),
        }
    }

    /// The rule itself, for two names that differ.
    fn compare(&self, sni: Host<'_>, host: Host<'_>) -> Result<Pass, Misdirection> {
        match &self.rule {
            Rule::Exact => Err(Misdirection::NotEqual),
            Rule::Unrouted => Err(Misdirection::Unrouted),
            Rule::Servers(servers) => self.compare_servers(servers, sni, host),
        }
    }

    fn compare_servers(
        &self,
        servers: &Servers,
        sni: Host<'_>,
        host: Host<'_>,
    ) -> Result<Pass, Misdirection> {
        match (servers.of(host), servers.of(sni), self.unlisted_sni) {
            (None, _, _) => Ok(Pass::UnlistedHost),
            (Some(_), None, Treatment::Pass) => Ok(Pass::UnlistedSni),
            (Some(_), None, Treatment::Reject) => Err(Misdirection::UnlistedSni),
            (Some(host), Some(sni), _) if host == sni => Ok(Pass::SameServer),
            (Some(_), Some(_), _) => Err(Misdirection::OtherServer),
        }
    }

    /// Decides on a suspect of this configuration.
    #[must_use]
    pub fn settle(&self, suspect: Suspect, facts: Facts) -> Decision {
        let pass = |pass| Decision::Pass(pass);
        match suspect.reason {
            Misdirection::NoSni if !facts.tls => return pass(Pass::NoSni),
            Misdirection::Unrouted if facts.route == Route::Matched => return pass(Pass::Routed),
            _ => {}
        }
        if suspect.action == Action::Off {
            return pass(Pass::Off);
        }
        if facts.connect {
            return pass(Pass::Connect);
        }
        if !facts
            .protocol
            .is_some_and(|protocol| self.protocols.contains(&protocol))
        {
            return pass(Pass::Protocol);
        }
        if facts.grpc && self.grpc == Treatment::Pass {
            return pass(Pass::Grpc);
        }
        match suspect.action {
            Action::Enforce => Decision::Reject(suspect.reason),
            Action::Report | Action::Off => Decision::Report(suspect.reason),
        }
    }
}

impl Decision {
    /// The status of the answer, where it is not the gateway's own.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        match self {
            Self::Pass(_) | Self::Report(_) => None,
            Self::Reject(_) => Some(421),
        }
    }

    /// The reason as people see it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Pass(pass) => pass.name(),
            Self::Report(_) => "reported",
            Self::Reject(misdirection) => misdirection.name(),
        }
    }
}
