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

/// The longest configuration with a readable table of servers, in octets.
const LONGEST_READABLE: usize = 16 << 10;

/// A configuration that was not checked yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings(Map<String, Value>);

impl Settings {
    /// Reads YAML, of which JSON is a part. An empty text is an empty configuration.
    ///
    /// # Errors
    /// The text is no YAML, or not a map.
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
                // The check names what was expected instead.
                Config::parse(&Document::deserialize(other)?)?;
                bail!("it is not a map")
            }
        }
    }

    /// Sets a top-level key.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<Value>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// Lists servers. A table that would make the settings longer than `LONGEST_READABLE` is
    /// written in the compact form.
    pub(crate) fn set_servers(&mut self, servers: &BTreeMap<String, Vec<String>>) {
        if servers.is_empty() {
            return;
        }
        self.set("servers", serde_json::json!(servers));
        if self.size() > LONGEST_READABLE {
            let text = rule::config::compact::write(servers.values().map(Vec::as_slice));
            self.set("servers", text);
        }
    }

    /// The hosts of each listed server, sorted. `None` where the settings are invalid, or list none.
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

    /// What the filter makes of the settings.
    ///
    /// # Errors
    /// [`rule::Faults`], all of them, as [`Advice`] where a word looks like a slip.
    pub(crate) fn check(&self) -> Result<Config> {
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

    /// What was meant by keys and words that the rule does not know.
    fn question(&self) -> Option<String> {
        let keys = self
            .0
            .keys()
            .map(|key| (key.as_str(), Config::KEYS.to_vec()));
        let words = self.0.iter().flat_map(|(key, value)| {
            texts(value)
                .into_iter()
                .map(|text| (text, Config::words(key)))
        });
        let unknown = keys
            .chain(words)
            .filter(|(word, known)| !known.contains(word));
        let meant =
            unknown.filter_map(|(word, known)| Some((word, spelling::nearest(word, known)?)));
        spelling::question(meant)
    }

    /// The settings as a resource holds them: actions are words, even where they were written as
    /// the booleans that YAML 1.1 makes of `on` and `off`.
    #[must_use]
    pub(crate) fn into_value(mut self) -> Value {
        if let Some(action) = self.0.get_mut("action") {
            spell_out(action);
        }
        if let Some(Value::Object(hosts)) = self.0.get_mut("hosts") {
            hosts.values_mut().for_each(spell_out);
        }
        Value::Object(self.0)
    }

    /// The same, and nothing for no settings: an empty object arrives as no configuration anyway.
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

/// The texts of a value, in its list or in its map.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        Value::Object(entries) => entries.values().filter_map(Value::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    }
}

fn spell_out(action: &mut Value) {
    if let Value::Bool(enforced) = action {
        *action = if *enforced {
            Action::Enforce
        } else {
            Action::Off
        }
        .name()
        .into();
    }
}

/// The message of the YAML parser in one line, without its excerpt of the text.
pub(crate) fn yaml_problem(error: &serde_saphyr::Error) -> String {
    one_line(
        &error
            .without_snippet()
            .render_with_formatter(&UserMessageFormatter),
    )
}
