//! The filter's configuration as people write it, in YAML or JSON, checked by the filter's own
//! type.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use gateway::advice::Advice;
use rule::{Action, Config, Document, Rule};
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::UserMessageFormatter;

use crate::spelling;
use crate::text::one_line;

/// The longest configuration with a readable table of servers, in octets. Envoy keeps the configuration for
/// each filter chain, so a longer table is written in the compact form.
const LONGEST_READABLE: usize = 16 << 10;

/// A configuration that may be invalid.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings(Map<String, Value>);

impl Settings {
    /// Reads YAML or JSON. An empty text is an empty configuration.
    ///
    /// # Errors
    /// The text is not YAML, or not a map.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let value: Value = serde_saphyr::from_str(text)
            .map_err(|error| anyhow::anyhow!(yaml_problem(&error)))
            .context("reading it as YAML")?;
        match value {
            Value::Null => Ok(Self::default()),
            Value::Object(map) => Ok(Self(map)),
            other => {
                // The error of the check names the expected type.
                Config::parse(&Document::deserialize(other)?)?;
                bail!("expected a map")
            }
        }
    }

    /// Sets a top-level key.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Sets the list of servers, in the compact form if the settings would be longer than
    /// `LONGEST_READABLE` otherwise.
    pub(crate) fn set_servers(&mut self, servers: &BTreeMap<String, Vec<String>>) {
        // An empty table would differ from no table in a diff.
        if servers.is_empty() {
            return;
        }
        self.set("servers", serde_json::json!(servers));
        if self.size() > LONGEST_READABLE {
            let text = rule::config::compact::write(servers.values().map(Vec::as_slice));
            self.set("servers", text);
        }
    }

    /// The hosts of each listed server, sorted. `None` if the settings are invalid, or list no servers.
    #[must_use]
    pub(crate) fn servers(&self) -> Option<Vec<Vec<String>>> {
        let config = self.check().ok()?;
        match config.rule() {
            Rule::Servers(servers) if servers.count() > 0 => {
                Some(servers.hosts().into_values().collect())
            }
            Rule::Servers(_) | Rule::Exact => None,
        }
    }

    /// The length of the configuration that Envoy gets, in octets.
    #[must_use]
    pub(crate) fn size(&self) -> usize {
        Value::Object(self.0.clone()).to_string().len()
    }

    /// Whether a top-level key is set.
    #[must_use]
    pub(crate) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Sets the action of one host.
    pub(crate) fn set_host(&mut self, host: &str, action: &str) {
        let hosts = self
            .0
            .entry("hosts")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(hosts) = hosts {
            hosts.insert(host.to_owned(), action.into());
        }
    }

    /// Checks the settings with the filter's own type.
    ///
    /// # Errors
    /// [`rule::Faults`] with every fault. The hint of an [`Advice`] corrects typing errors.
    pub(crate) fn check(&self) -> Result<Config> {
        // This is the parser of the filter, so the result is what the filter would use.
        let document = Document::deserialize(Value::Object(self.0.clone()))?;
        Config::parse(&document).map_err(|faults| {
            let faults = anyhow::Error::from(faults);
            match self.question() {
                None => faults,
                Some(question) => {
                    faults.context(Advice::new("reading the configuration", question))
                }
            }
        })
    }

    /// A question that corrects unknown keys and words, if they are similar to known ones.
    fn question(&self) -> Option<String> {
        let mut corrections = Vec::new();
        // An unknown key and an unknown word may both be typing errors.
        for key in self.0.keys() {
            corrections.extend(correction(key, &Config::KEYS));
        }
        for (key, value) in &self.0 {
            let known = Config::words(key);
            for word in texts(value) {
                corrections.extend(correction(word, &known));
            }
        }
        spelling::question(corrections)
    }

    /// The settings for a resource. Actions are words: in YAML 1.1, `on` and `off` are booleans.
    #[must_use]
    pub(crate) fn into_value(mut self) -> Value {
        // The same action should look the same in every resource.
        if let Some(action) = self.0.get_mut("action") {
            spell_out(action);
        }
        if let Some(Value::Object(hosts)) = self.0.get_mut("hosts") {
            hosts.values_mut().for_each(spell_out);
        }
        Value::Object(self.0)
    }

    /// The settings for a resource; `None` if they are empty, which means the same to the filter.
    #[must_use]
    pub(crate) fn into_configured(self) -> Option<Value> {
        (!self.0.is_empty()).then(|| self.into_value())
    }
}

impl From<Map<String, Value>> for Settings {
    fn from(map: Map<String, Value>) -> Self {
        Self(map)
    }
}

/// An unknown word with the known word that is similar to it.
fn correction<'w>(word: &'w str, known: &[&'static str]) -> Option<(&'w str, &'static str)> {
    if known.contains(&word) {
        return None;
    }
    Some((word, spelling::nearest(word, known.iter().copied())?))
}

/// The texts of a value: of its list or its map, or the value itself.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::Object(entries) => entries.values().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

fn spell_out(action: &mut Value) {
    let word = match action {
        Value::Bool(true) => Action::Enforce,
        Value::Bool(false) => Action::Off,
        _ => return,
    };
    *action = word.name().into();
}

/// The message of the YAML parser in one line, without its excerpt of the text.
pub(crate) fn yaml_problem(error: &serde_saphyr::Error) -> String {
    one_line(
        &error
            .without_snippet()
            .render_with_formatter(&UserMessageFormatter),
    )
}
