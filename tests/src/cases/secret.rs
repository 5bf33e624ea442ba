//! The directive `# SECRET:`. Its value is `NAMESPACE/NAME = HOSTS`, with the options `until YEAR`,
//! `for NUMBER days`, `with another key` and `cut in half`, or `NAMESPACE/NAME is NAMESPACE/NAME` for a copy.

use std::collections::HashMap;

use anyhow::{Context, Result};

use crate::secrets::Pair;

/// The Secrets of these directives, as YAML documents in the same order.
pub(super) fn generate<'c>(directives: impl Iterator<Item = &'c str>) -> Result<Vec<String>> {
    let mut secrets = Vec::new();
    let mut pairs: HashMap<&str, Pair> = HashMap::new();
    for directive in directives {
        // A copy has the same certificate under another name, which SG304 reports.
        let (name, pair) = if let Some((name, description)) = directive.split_once(" = ") {
            (name, pair(description)?)
        } else {
            let (name, original) = directive
                .split_once(" is ")
                .with_context(|| format!("`# SECRET: {directive}` has neither ` = ` nor ` is `"))?;
            let pair = pairs
                .get(original)
                .with_context(|| format!("no Secret {original} before its copy {name}"))?;
            (name, pair.clone())
        };
        secrets.push(pair.secret(name)?);
        pairs.insert(name, pair);
    }
    Ok(secrets)
}

/// The certificate and key of a description such as `a.example.com *.b.example.com until 2025`.
fn pair(description: &str) -> Result<Pair> {
    if let Some(whole) = description.strip_suffix(" cut in half") {
        let mut pair = pair(whole)?;
        pair.certificate.truncate(pair.certificate.len() / 2);
        return Ok(pair);
    }
    // The options are suffixes, so each is removed and the rest is a description too.
    if let Some(certified) = description.strip_suffix(" with another key") {
        let other = pair(certified)?;
        return Ok(Pair {
            key: other.key,
            ..pair(certified)?
        });
    }
    if let Some((hosts, days)) = description
        .strip_suffix(" days")
        .and_then(|rest| rest.split_once(" for "))
    {
        let hosts: Vec<&str> = hosts.split(' ').collect();
        return Pair::generate_for_days(&hosts, days.parse()?);
    }
    let (hosts, year) = description
        .split_once(" until ")
        .unwrap_or((description, "2100"));
    let hosts: Vec<&str> = hosts.split(' ').collect();
    Pair::generate(&hosts, year.parse()?)
}
