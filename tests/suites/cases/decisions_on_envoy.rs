//! The decision table on a real Envoy, the oldest and the newest: one test per section of
//! `decisions.md`, kind of gateway and version. Each row is sent without the filter and with it: where
//! the row passes, the answer is Envoy's own.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use rule::Gateway;
use tests::backend;
use tests::decisions::{Answer, Exchange, Row, listener, listener_name, rows, section};
use tests::envoy::{Envoy, Filter, Guard, GuardConfig, Launch, Listener};
use tests::module;
use tests::tools::envoy_versions;

use crate::trials;

pub(crate) fn all() -> Result<Vec<Trial>> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for version in envoy_versions() {
        for row in rows()? {
            let gateway = row.gateway;
            let kind = match gateway {
                Gateway::Istio => "istio",
                Gateway::Other => "other",
            };
            let name = format!("{}::{kind}-{version}", section(row.line));
            let group = groups.entry(name).or_insert_with(|| Group {
                version: version.clone(),
                gateway,
                rows: Vec::new(),
            });
            group.rows.push(row);
        }
    }
    trials(
        "decisions-on-envoy",
        15,
        groups.into_iter().collect(),
        Group::check,
    )
}

/// The rows of a section for one Envoy.
struct Group {
    version: String,
    gateway: Gateway,
    rows: Vec<Row>,
}

type Metrics = BTreeMap<String, u64>;

impl Group {
    /// Checks each row, and reports all that fail.
    fn check(&self) -> Result<()> {
        let launch = Launch {
            version: &self.version,
            gateway: self.gateway,
            ..Launch::default()
        };
        let envoy = Envoy::start_as(&launch, &self.listeners()?)?;
        // The rows of one Envoy run one after the other: the counters are its own, not a row's.
        let mut before = envoy.metrics()?;
        let mut failures = Vec::new();
        for row in &self.rows {
            let without_filter = envoy.listener(&listener_name(row, false))?;
            let with_filter = envoy.listener(&listener_name(row, true))?;
            let exchange = Exchange::new(row, without_filter, with_filter)?;
            let after = envoy.metrics()?;
            let counted = changed(&before, &after);
            before = after;
            let Some(exchange) = exchange else { continue };
            if let Err(error) = check(row, &exchange, &counted) {
                failures.push(format!("{row}: {error:#}"));
            }
        }
        ensure!(
            failures.is_empty(),
            "{} of {} rows fail:\n{}",
            failures.len(),
            self.rows.len(),
            failures.join("\n")
        );
        Ok(())
    }

    /// Rows with the same configuration and the same routes share a listener.
    fn listeners(&self) -> Result<Vec<Listener>> {
        let module = module::build()?;
        let backend = backend::start()?;
        let mut listeners = BTreeMap::new();
        for row in &self.rows {
            for guarded in [false, true] {
                let filter = guarded.then(|| {
                    Filter::Guard(Guard {
                        module: module.clone(),
                        config: GuardConfig::Inline(Some(row.config.clone())),
                    })
                });
                listeners
                    .entry(listener_name(row, guarded))
                    .or_insert_with_key(|name| listener(row, name.clone(), filter, backend));
            }
        }
        Ok(listeners.into_values().collect())
    }
}

/// The counters of the filter that a request changed.
fn changed(before: &Metrics, after: &Metrics) -> BTreeSet<String> {
    after
        .iter()
        .filter(|(name, value)| before.get(*name).copied().unwrap_or_default() != **value)
        .map(|(name, _)| name.clone())
        .filter(|name| !name.ends_with("config_invalid"))
        .collect()
}

fn check(row: &Row, exchange: &Exchange, counted: &BTreeSet<String>) -> Result<()> {
    exchange.check(row, matches!(row.answer, Answer::Misdirected(_)))?;
    // One counter for the reason of the row, or none.
    let expected: BTreeSet<String> = row.metric().into_iter().collect();
    ensure!(
        *counted == expected,
        "counted {counted:?}, expected {expected:?}, answered {:?}",
        exchange.with_filter
    );
    Ok(())
}
